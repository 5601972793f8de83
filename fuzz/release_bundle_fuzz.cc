// SPDX-License-Identifier: Apache-2.0
//
// Release bundles: what parses is canonical, and nothing unsigned verifies.
#include "base/check.h"
#include "fuzz_input.h"
#include "ledger/release_format.h"

using namespace redoubt::ledger;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz_text(data, size);
  if (const auto bundle = parse_release_bundle(text)) CHECK(to_text(*bundle) == text);
  CHECK(!verify_release_bundle(text, std::nullopt).problems.empty());
  return 0;
}
