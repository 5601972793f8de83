// SPDX-License-Identifier: Apache-2.0
//
// A certificate of erasure: nothing verifies that the ledger's key did not sign.
#include "base/check.h"
#include "custody/certificate.h"
#include "fuzz_input.h"

using namespace redoubt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz_text(data, size);
  if (const auto certificate = custody::parse_certificate(text)) CHECK(custody::encode_certificate(*certificate) == text);
  CHECK(!custody::verify_certificate(text, std::nullopt).problems.empty());
  return 0;
}
