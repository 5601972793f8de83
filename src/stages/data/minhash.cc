// SPDX-License-Identifier: Apache-2.0
#include "stages/data/minhash.h"

#include <algorithm>
#include <random>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define REDOUBT_MINHASH_KERNEL __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#else
#define REDOUBT_MINHASH_KERNEL
#endif

namespace redoubt::stages::data {
namespace {

constexpr std::uint32_t kFnvStart = 0x811c9dc5u, kFnvPrime = 0x01000193u;
constexpr std::size_t kBlock = 512;  // shingles at a time

inline std::uint32_t mixed(std::uint32_t hash) {
  hash ^= hash >> 16;
  hash *= 0x85ebca6bu;
  hash ^= hash >> 13;
  hash *= 0xc2b2ae35u;
  return hash ^ hash >> 16;
}

// FNV-1a and MurmurHash3's finalizer of the shingles that begin at each of `count` bytes.
REDOUBT_MINHASH_KERNEL void hash_shingles(const char* __restrict text, std::size_t count, std::size_t shingle_bytes, std::uint32_t* __restrict hashes) {
  for (std::size_t i = 0; i < count; ++i) hashes[i] = kFnvStart;
  for (std::size_t k = 0; k < shingle_bytes; ++k) {
    for (std::size_t i = 0; i < count; ++i) hashes[i] = (hashes[i] ^ static_cast<unsigned char>(text[i + k])) * kFnvPrime;
  }
  for (std::size_t i = 0; i < count; ++i) hashes[i] = mixed(hashes[i]);
}

// The lowest value of each permutation. A few permutations at a time, so that they stay in registers.
REDOUBT_MINHASH_KERNEL void lower(const std::uint32_t* __restrict hashes, std::size_t count, const std::uint32_t* __restrict a, const std::uint32_t* __restrict b, std::uint32_t* __restrict least) {
  constexpr std::size_t kTogether = 64;
  for (std::size_t first = 0; first < kPermutations; first += kTogether) {
    std::uint32_t low[kTogether];
    for (std::size_t k = 0; k < kTogether; ++k) low[k] = least[first + k];
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t hash = hashes[i];
      for (std::size_t k = 0; k < kTogether; ++k) {
        const std::uint32_t value = a[first + k] * hash + b[first + k];
        low[k] = value < low[k] ? value : low[k];
      }
    }
    for (std::size_t k = 0; k < kTogether; ++k) least[first + k] = low[k];
  }
}

}  // namespace

MinHasher::MinHasher(std::uint32_t seed, std::size_t shingle_bytes) : shingle_bytes_(shingle_bytes) {
  std::mt19937 draw(seed);
  for (auto& a : a_) a = (static_cast<std::uint32_t>(draw()) & 0x7fffffffu) * 2 + 1;
  for (auto& b : b_) b = static_cast<std::uint32_t>(draw());
}

std::uint32_t MinHasher::shingle_hash(std::string_view shingle) {
  std::uint32_t hash = kFnvStart;
  for (const char c : shingle) hash = (hash ^ static_cast<unsigned char>(c)) * kFnvPrime;
  return hash;
}

MinHash MinHasher::signature(std::string_view text) const {
  MinHash least;
  least.fill(0xffffffffu);
  if (text.empty()) return least;
  const std::size_t size = std::min(shingle_bytes_, text.size()), count = text.size() - size + 1;
  std::uint32_t hashes[kBlock];
  for (std::size_t from = 0; from < count; from += kBlock) {
    const std::size_t here = std::min(kBlock, count - from);
    hash_shingles(text.data() + from, here, size, hashes);
    lower(hashes, here, a_.data(), b_.data(), least.data());
  }
  return least;
}

}  // namespace redoubt::stages::data

#undef REDOUBT_MINHASH_KERNEL
