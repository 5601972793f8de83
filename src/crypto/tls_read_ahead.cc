// SPDX-License-Identifier: Apache-2.0
#include "crypto/tls_read_ahead.h"

#include <openssl/ssl.h>

#include <cstddef>

namespace redoubt::crypto {
namespace {

constexpr std::size_t kBytes = 64 << 10;  // three whole records and more; with much more they leave the processor's nearest cache

}  // namespace

void read_ahead(void* context) {
  auto* const tls = static_cast<SSL_CTX*>(context);
  SSL_CTX_set_read_ahead(tls, 1);
  SSL_CTX_set_default_read_buffer_len(tls, kBytes);
}

bool may_hold_a_record(const void* connection) {
  const auto* const tls = static_cast<const SSL*>(connection);
  return SSL_want(tls) == SSL_NOTHING && SSL_has_pending(tls) == 1;
}

}  // namespace redoubt::crypto
