// SPDX-License-Identifier: Apache-2.0
//
// Keeps inputs tar files while they are changed: after each change the checksums of the headers (POSIX.1-2017, pax, "ustar Interchange Format") are right
// again. Else nearly all that is tried is refused for its first header, and what is behind it never read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t size_max);

inline void right_checksums(std::span<std::uint8_t> tar) {
  constexpr std::size_t kBlock = 512, kSum = 148, kSumBytes = 8, kSize = 124, kSizeDigits = 11, kMagic = 257;
  while (tar.size() >= kBlock) {
    const auto header = tar.first(kBlock);
    if (std::ranges::all_of(header, [](std::uint8_t byte) { return byte == 0; })) {
      tar = tar.subspan(kBlock);
      continue;
    }
    if (std::memcmp(header.data() + kMagic, "ustar", 5) != 0) return;  // such as one that is compressed
    std::fill_n(header.begin() + kSum, kSumBytes, ' ');
    unsigned sum = 0;
    for (const auto byte : header) sum += byte;
    char digits[kSumBytes];
    std::snprintf(digits, sizeof digits, "%06o", sum);  // with its NUL, and the blank behind it
    std::memcpy(header.data() + kSum, digits, kSumBytes - 1);
    std::uint64_t size = 0;
    for (std::size_t i = kSize; i < kSize + kSizeDigits && header[i] >= '0' && header[i] <= '7'; ++i) size = size * 8 + (header[i] - '0');
    const auto next = kBlock + (size + kBlock - 1) / kBlock * kBlock;
    if (next > tar.size()) return;
    tar = tar.subspan(next);
  }
}

// `first` bytes stand before the tar file.
inline std::size_t mutate_tar(std::uint8_t* data, std::size_t size, std::size_t size_max, std::size_t first) {
  size = LLVMFuzzerMutate(data, size, size_max);
  if (size > first) right_checksums({data + first, size - first});
  return size;
}
