// SPDX-License-Identifier: Apache-2.0
//
// The ledger's own files: entry bundles and tiles, and the names of what lies in its folder.
#include "base/check.h"
#include "fuzz_input.h"
#include "ledger/layout.h"
#include "ledger/leftover.h"

using namespace redoubt;
using namespace redoubt::ledger;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  for (const std::uint64_t count : {1, 2, 256}) {
    const auto entries = split_bundle(bytes, count, "fuzz");
    if (!entries) continue;
    Bytes again;
    for (const auto& entry : *entries) append_to_bundle(again, entry);
    CHECK(again.size() == size && std::equal(again.begin(), again.end(), data));
  }
  if (const auto tile = decode_tile(bytes, 2, "fuzz")) CHECK(encode_tile(*tile) == Bytes(data, data + size));
  kind_of_file(std::string(fuzz_text(data, size)), 70'000);
  return 0;
}
