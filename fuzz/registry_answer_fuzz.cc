// SPDX-License-Identifier: Apache-2.0
//
// What a registry says in headers, manifests and signatures, and the addresses that people write.
#include "attest/image_signature.h"
#include "base/check.h"
#include "fuzz_input.h"
#include "provider/registry/registry_client.h"
#include "packages/version_order.h"
#include "stages/image/oci/manifest.h"

using namespace redoubt::provider::registry;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = fuzz_text(data, size);
  (void)parse_challenge(text);
  (void)next_link(text);
  (void)last_byte(text);
  (void)parse_pinned_reference(std::string(text));
  if (const auto manifest = redoubt::stages::image::oci::parse_manifest(text, "m")) CHECK(manifest->is_index != manifest->config.has_value());
  static const auto key = redoubt::crypto::SigningKey::generate(redoubt::crypto::SignatureAlgorithm::ecdsa_p256).public_key();
  CHECK(!redoubt::attest::verify_image_bundle(text, {}, key, "b"));
  CHECK(!redoubt::attest::verify_simple(text, text, {}, key, "s"));
  if (const auto reference = parse_remote_reference(std::string(text))) {
    CHECK(reference->origin.starts_with("https://") && !reference->repository.empty() && reference->repository.find("..") == std::string::npos);
  }
  // Two versions in one text: an order must be the same from both sides.
  const auto line = std::min(text.find('\n'), text.size());
  const auto a = text.substr(0, line), b = text.substr(std::min(line + 1, text.size()));
  const auto sign = [](int value) { return value < 0 ? -1 : value > 0 ? 1 : 0; };
  CHECK(sign(redoubt::packages::compare_python_versions(a, b)) == -sign(redoubt::packages::compare_python_versions(b, a)));
  CHECK(sign(redoubt::packages::compare_debian_versions(a, b)) == -sign(redoubt::packages::compare_debian_versions(b, a)));
  return 0;
}
