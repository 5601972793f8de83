// SPDX-License-Identifier: Apache-2.0
//
// model.sig bundles: nothing that a fuzzer makes is signed, so nothing may be accepted.
#include "attest/model_signature.h"
#include "base/check.h"
#include "fuzz_input.h"

using namespace redoubt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto key = crypto::SigningKey::generate(crypto::SignatureAlgorithm::ecdsa_p256).public_key();
  CHECK(!attest::verify_model_signature(fuzz_text(data, size), key, "fuzz"));
  return 0;
}
