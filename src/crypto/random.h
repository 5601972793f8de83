// SPDX-License-Identifier: Apache-2.0
//
// Random bytes fit for keys, from the operating system through OpenSSL.
#pragma once

#include "base/bytes.h"
#include "base/secret.h"

namespace redoubt::crypto {

void fill_random(MutableByteView bytes);
Bytes random_bytes(std::size_t count);
Secret random_secret(std::size_t count);

}  // namespace redoubt::crypto
