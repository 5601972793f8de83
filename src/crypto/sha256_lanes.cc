// SPDX-License-Identifier: Apache-2.0
#include "crypto/sha256_lanes.h"

#include <algorithm>

#include "base/check.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace redoubt::crypto {

#ifdef __x86_64__
namespace {

alignas(64) constexpr std::uint32_t kConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74,
    0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d,
    0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e,
    0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
    0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// Sixteen groups of four rounds over `lanes` messages. The instructions keep the working variables as (a, b, e, f) and (c, d, g, h), from the
// highest word down.
template <int lanes>
[[gnu::always_inline, gnu::target("sha,sse4.1,avx")]] inline void compress(Sha256Words* const (&words)[lanes], const std::uint8_t* const (&blocks)[lanes], std::size_t count) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i abef[lanes], cdgh[lanes];
  for (int lane = 0; lane < lanes; ++lane) {
    const auto& h = words[lane]->h;
    abef[lane] = _mm_set_epi32(static_cast<int>(h[0]), static_cast<int>(h[1]), static_cast<int>(h[4]), static_cast<int>(h[5]));
    cdgh[lane] = _mm_set_epi32(static_cast<int>(h[2]), static_cast<int>(h[3]), static_cast<int>(h[6]), static_cast<int>(h[7]));
  }
  for (std::size_t block = 0; block < count; ++block) {
    __m128i schedule[lanes][4], abef_before[lanes], cdgh_before[lanes], sums[lanes];
    for (int lane = 0; lane < lanes; ++lane) {
      abef_before[lane] = abef[lane];
      cdgh_before[lane] = cdgh[lane];
    }
#pragma GCC unroll 16
    for (int group = 0; group < 16; ++group) {
      const __m128i constants = _mm_load_si128(reinterpret_cast<const __m128i*>(kConstants) + group);
#pragma GCC unroll 2
      for (int lane = 0; lane < lanes; ++lane) {
        auto& w = schedule[lane];
        if (group < 4) {
          w[group] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(blocks[lane] + kSha256BlockBytes * block) + group), big_endian);
        } else {
          const __m128i newest = w[(group + 3) & 3];
          const __m128i partial = _mm_add_epi32(_mm_sha256msg1_epu32(w[group & 3], w[(group + 1) & 3]), _mm_alignr_epi8(newest, w[(group + 2) & 3], 4));
          w[group & 3] = _mm_sha256msg2_epu32(partial, newest);
        }
        sums[lane] = _mm_add_epi32(w[group & 3], constants);
      }
#pragma GCC unroll 2
      for (int lane = 0; lane < lanes; ++lane) cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], sums[lane]);
#pragma GCC unroll 2
      for (int lane = 0; lane < lanes; ++lane) abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], _mm_shuffle_epi32(sums[lane], 0x0e));
    }
    for (int lane = 0; lane < lanes; ++lane) {
      abef[lane] = _mm_add_epi32(abef[lane], abef_before[lane]);
      cdgh[lane] = _mm_add_epi32(cdgh[lane], cdgh_before[lane]);
    }
  }
  for (int lane = 0; lane < lanes; ++lane) {
    alignas(16) std::uint32_t high[4], low[4];
    _mm_store_si128(reinterpret_cast<__m128i*>(high), abef[lane]);
    _mm_store_si128(reinterpret_cast<__m128i*>(low), cdgh[lane]);
    words[lane]->h = {high[3], high[2], low[3], low[2], high[1], high[0], low[1], low[0]};
  }
}

}  // namespace

bool has_sha256_lanes() {
  static const bool has = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned kExtendedFeatures = 7, kShaBit = 1u << 29;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx")) return false;
    asm("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(kExtendedFeatures), "c"(0));
    return (b & kShaBit) != 0;
  }();
  return has;
}

[[gnu::target("sha,sse4.1,avx")]] void sha256_blocks(Sha256Words& words, ByteView blocks) {
  compress<1>({&words}, {blocks.data()}, blocks.size() / kSha256BlockBytes);
}

[[gnu::target("sha,sse4.1,avx")]] void sha256_blocks_of_two(Sha256Words& first, ByteView first_blocks, Sha256Words& second, ByteView second_blocks) {
  CHECK(first_blocks.size() == second_blocks.size());
  compress<2>({&first, &second}, {first_blocks.data(), second_blocks.data()}, first_blocks.size() / kSha256BlockBytes);
}
#else
bool has_sha256_lanes() { return false; }
void sha256_blocks(Sha256Words&, ByteView) { CHECK(false); }
void sha256_blocks_of_two(Sha256Words&, ByteView, Sha256Words&, ByteView) { CHECK(false); }
#endif

Digest sha256_end(Sha256Words words, std::uint64_t bytes_before, ByteView rest) {
  const std::size_t whole = rest.size() / kSha256BlockBytes * kSha256BlockBytes, more = rest.size() - whole;
  sha256_blocks(words, rest.first(whole));
  std::array<std::uint8_t, 2 * kSha256BlockBytes> padded{};
  std::copy_n(rest.begin() + static_cast<std::ptrdiff_t>(whole), more, padded.begin());
  padded[more] = 0x80;
  const std::size_t size = more + 1 + sizeof(std::uint64_t) <= kSha256BlockBytes ? kSha256BlockBytes : 2 * kSha256BlockBytes;
  const std::uint64_t bits = (bytes_before + rest.size()) * 8;
  for (std::size_t i = 0; i < sizeof bits; ++i) padded[size - 1 - i] = static_cast<std::uint8_t>(bits >> (8 * i));
  sha256_blocks(words, ByteView(padded).first(size));
  Digest digest;
  for (std::size_t i = 0; i < digest.value.size(); ++i) digest.value[i] = static_cast<std::uint8_t>(words.h[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

}  // namespace redoubt::crypto
