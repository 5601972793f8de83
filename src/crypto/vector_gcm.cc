// SPDX-License-Identifier: Apache-2.0
#include "crypto/vector_gcm.h"

#include <openssl/evp.h>
#include <openssl/provider.h>

#include "crypto/gcm_provider.h"

namespace redoubt::crypto {
namespace {

bool install() {
  if (EVP_default_properties_is_fips_enabled(nullptr) == 1) return false;
  return load_gcm_provider() && EVP_set_default_properties(nullptr, "?provider=redoubt") == 1;
}

}  // namespace

bool prefer_vector_gcm() {
  static const bool installed = install();
  return installed;
}

}  // namespace redoubt::crypto
