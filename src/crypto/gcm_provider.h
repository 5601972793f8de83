// SPDX-License-Identifier: Apache-2.0
//
// The OpenSSL provider "redoubt", built into the program: AES-256-GCM over gcm_library.h, as OpenSSL's own does it (SP 800-38D; in
// records of TLS 1.2 as RFC 5288 has it, of TLS 1.3 as RFC 8446).
#pragma once

namespace redoubt::crypto {

// Beside OpenSSL's providers, in its default library context. False where there is no such library or OpenSSL does not take it.
bool load_gcm_provider();

}  // namespace redoubt::crypto
