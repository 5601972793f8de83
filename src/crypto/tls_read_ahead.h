// SPDX-License-Identifier: Apache-2.0
//
// For a connection that somebody else runs over OpenSSL (libcurl): have it read several records at a time, and tell whether some are left.
#pragma once

namespace redoubt::crypto {

// `context` is an SSL_CTX without connections yet.
void read_ahead(void* context);
// Whether the connection, an SSL, gave out all it was asked for last and holds more that came with it. What it holds may be a part of a record; then
// the next read says that it waits for the socket, and the answer is no.
bool may_hold_a_record(const void* connection);

}  // namespace redoubt::crypto
