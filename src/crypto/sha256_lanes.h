// SPDX-License-Identifier: Apache-2.0
//
// SHA-256's compression (FIPS 180-4 section 6.2.2) over one message, and over two at once: each step of a message waits for the one before, so
// the instructions of a second one fit in between, and two take little longer than one. With the SHA extensions of x86 alone.
#pragma once

#include <array>

#include "base/bytes.h"

namespace redoubt::crypto {

struct Sha256Words {
  std::array<std::uint32_t, 8> h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
};

constexpr std::size_t kSha256BlockBytes = 64;

// Whether this processor has the instructions; the other two functions need them.
bool has_sha256_lanes();

// `blocks` is a multiple of 64 bytes long; two of them are equally long.
void sha256_blocks(Sha256Words& words, ByteView blocks);
void sha256_blocks_of_two(Sha256Words& first, ByteView first_blocks, Sha256Words& second, ByteView second_blocks);

// The end of a message of `bytes_before` bytes, a multiple of 64, that went through the above, and `rest` behind them.
Digest sha256_end(Sha256Words words, std::uint64_t bytes_before, ByteView rest);

}  // namespace redoubt::crypto
