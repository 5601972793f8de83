// SPDX-License-Identifier: Apache-2.0
#include "crypto/random.h"

#include <openssl/rand.h>

#include "base/check.h"

namespace redoubt::crypto {

// A machine without randomness can do nothing safely, so this is a CHECK and not an error to be handled.
void fill_random(MutableByteView bytes) { CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1); }

Bytes random_bytes(std::size_t count) {
  Bytes bytes(count);
  fill_random(bytes);
  return bytes;
}

Secret random_secret(std::size_t count) {
  auto secret = Secret::of_size(count);
  fill_random(secret.writable(SecretAccess::for_crypto()));
  return secret;
}

}  // namespace redoubt::crypto
