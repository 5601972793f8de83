// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <openssl/bio.h>

namespace redoubt::crypto {

// What OpenSSL reads from and writes to: a socket, which stays the caller's. Unlike OpenSSL's own it asks by recv and send, which do not go
// through the system's layer of files, and raises no SIGPIPE. Null without memory.
BIO* new_socket_bio(int socket);

}  // namespace redoubt::crypto
