// SPDX-License-Identifier: Apache-2.0
//
// The header of a sealed object, the size that follows from it, and a manifest.
#include "base/check.h"
#include "fuzz_input.h"
#include "vault/envelope.h"
#include "vault/manifest.h"

using namespace redoubt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes(data, size);
  if (const auto parsed = vault::parse_header(bytes)) {
    const auto again = vault::encode_header(parsed->header);
    CHECK(again.size() == parsed->size && std::equal(again.begin(), again.end(), bytes.begin()));
    const auto plain = vault::plaintext_size(size - parsed->size, parsed->header.chunk_bytes());
    CHECK(!plain || *plain < size);
  }
  if (const auto manifest = vault::parse_manifest(fuzz_text(data, size))) {
    CHECK(*vault::encode_manifest(*manifest) == fuzz_text(data, size));
  }
  return 0;
}
