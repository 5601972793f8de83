// SPDX-License-Identifier: Apache-2.0
#include "model_scan/crc32.h"

#include <zlib.h>

#include <algorithm>

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace redoubt::model_scan {
namespace {

std::uint32_t by_zlib(std::uint32_t crc, ByteView bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min<std::size_t>(bytes.size(), 1u << 30));
    crc = static_cast<std::uint32_t>(::crc32(crc, part.data(), static_cast<uInt>(part.size())));
    bytes = bytes.subspan(part.size());
  }
  return crc;
}

#ifdef __x86_64__

// V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009: four lanes of 128 bits are folded over 64
// bytes at a time, then into one, then reduced (Barrett). The constants are powers of x modulo the polynomial, reflected.
__attribute__((target("pclmul,sse4.1"))) __m128i fold(__m128i lane, __m128i next, __m128i constants) {
  return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(lane, constants, 0x00), _mm_clmulepi64_si128(lane, constants, 0x11)), next);
}

__attribute__((target("pclmul,sse4.1"))) __m128i load(const std::uint8_t* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }

// `count` is a multiple of 16 and at least 64; `crc` is inverted.
__attribute__((target("pclmul,sse4.1"))) std::uint32_t by_folding(std::uint32_t crc, const std::uint8_t* at, std::size_t count) {
  const __m128i over_64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4), over_16 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  __m128i a = _mm_xor_si128(load(at), _mm_cvtsi32_si128(static_cast<int>(crc))), b = load(at + 16), c = load(at + 32), d = load(at + 48);
  at += 64, count -= 64;
  for (; count >= 64; at += 64, count -= 64) {
    a = fold(a, load(at), over_64), b = fold(b, load(at + 16), over_64), c = fold(c, load(at + 32), over_64), d = fold(d, load(at + 48), over_64);
  }
  a = fold(fold(fold(a, b, over_16), c, over_16), d, over_16);
  for (; count >= 16; at += 16, count -= 16) a = fold(a, load(at), over_16);
  // 128 bits to 64, to 32.
  const __m128i low = _mm_setr_epi32(~0, 0, ~0, 0);
  a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, over_16, 0x10));
  const __m128i over_4 = _mm_set_epi64x(0, 0x0163cd6124);
  a = _mm_xor_si128(_mm_srli_si128(a, 4), _mm_clmulepi64_si128(_mm_and_si128(a, low), over_4, 0x00));
  const __m128i polynomial = _mm_set_epi64x(0x01f7011641, 0x01db710641);
  __m128i quotient = _mm_and_si128(_mm_clmulepi64_si128(_mm_and_si128(a, low), polynomial, 0x10), low);
  quotient = _mm_clmulepi64_si128(quotient, polynomial, 0x00);
  return static_cast<std::uint32_t>(_mm_extract_epi32(_mm_xor_si128(a, quotient), 1));
}

bool can_fold() {
  static const bool can = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  return can;
}

#endif

}  // namespace

std::uint32_t crc32(std::uint32_t crc, ByteView bytes) {
#ifdef __x86_64__
  if (bytes.size() >= 64 && can_fold()) {
    const std::size_t count = bytes.size() / 16 * 16;
    crc = ~by_folding(~crc, bytes.data(), count);
    bytes = bytes.subspan(count);
  }
#endif
  return by_zlib(crc, bytes);
}

Result<std::uint32_t> crc32_of(const RandomAccess& object, std::uint64_t begin, std::uint64_t bytes) {
  Bytes chunk(static_cast<std::size_t>(std::min<std::uint64_t>(256 << 10, bytes)));  // stays in the processor's cache
  std::uint32_t crc = 0;
  for (std::uint64_t done = 0; done < bytes;) {
    const auto part = MutableByteView(chunk).first(static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), bytes - done)));
    TRY(object.read_at(begin + done, part));
    crc = crc32(crc, part);
    done += part.size();
  }
  return crc;
}

}  // namespace redoubt::model_scan
