// SPDX-License-Identifier: Apache-2.0
//
// Keys out of other secrets: HKDF-SHA-256 (RFC 5869) from strong ones, scrypt (RFC 7914) from passphrases.
#pragma once

#include "base/bytes.h"
#include "base/secret.h"

namespace redoubt::crypto {

// `size` is at most 255 * 32 bytes. `info` names the use, so that two uses of one secret get unrelated keys.
Secret hkdf_sha256(const Secret& secret, ByteView salt, std::string_view info, std::size_t size);

// The cost of a guess. The default takes 128 MiB and about 0.4 s.
struct ScryptCost {
  std::uint64_t n = 1 << 17;  // rounds and memory, a power of two
  std::uint32_t r = 8;        // block size
  std::uint32_t p = 1;        // how many in a row

  bool operator==(const ScryptCost&) const = default;
};

// invalid_argument for a cost outside n 2^4..2^20, r 1..16, p 1..16 or above 1 GiB, so that a file can't ask for any memory.
Status check_scrypt_cost(const ScryptCost& cost);
Result<Secret> scrypt(const Secret& passphrase, ByteView salt, const ScryptCost& cost, std::size_t size);

}  // namespace redoubt::crypto
