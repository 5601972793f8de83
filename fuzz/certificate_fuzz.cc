// SPDX-License-Identifier: Apache-2.0
//
// Certificates in PEM and DER, chains of them, PKCS#11 URIs, and the outside of model signatures: nobody vouches for what a
// fuzzer makes.
#include "attest/model_bundle.h"
#include "base/check.h"
#include "crypto/certificate_chain.h"
#include "crypto/pkcs11_uri.h"
#include "crypto/x509.h"
#include "fuzz_input.h"

using namespace redoubt;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto ca = *crypto::make_ca({.not_before = SystemClock().now()});
  static const auto authorities = *crypto::certificates_from_pem(ca.certificate);
  if (size == 0) return 0;
  const std::string text(fuzz_text(data + 1, size - 1));
  const Bytes bytes(data + 1, data + size);
  switch (data[0] % 4) {
    case 0:
      if (const auto chain = crypto::certificates_from_pem(text)) CHECK(!crypto::verify_signer(*chain, authorities, SystemClock().now()));
      break;
    case 1:
      (void)crypto::read_signer(bytes);
      CHECK(!crypto::verify_signer({bytes, authorities[0]}, authorities, SystemClock().now()));
      break;
    case 2:
      if (const auto uri = crypto::parse_pkcs11_uri(text)) CHECK(!uri->object.empty() || !uri->id.empty());
      break;
    default:
      if (const auto bundle = attest::parse_model_bundle(text, "fuzz")) CHECK(attest::parse_model_bundle(attest::to_text(*bundle), "again"));
  }
  return 0;
}
