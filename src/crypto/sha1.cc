// SPDX-License-Identifier: Apache-2.0
#include "crypto/sha1.h"

#include <openssl/evp.h>

#include "base/bytes.h"
#include "base/check.h"

namespace redoubt::crypto {

std::string sha1_name(std::string_view text) {
  std::uint8_t digest[20];
  unsigned size = 0;
  CHECK(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(), nullptr) == 1 && size == sizeof digest);
  return to_hex(digest);
}

}  // namespace redoubt::crypto
