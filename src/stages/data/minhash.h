// SPDX-License-Identifier: Apache-2.0
//
// MinHash signatures (Broder 1997) as datasketch 2 makes them in its scheme "affine32": shingles hashed to 32 bits, mixed by
// MurmurHash3's finalizer, then a * h + b modulo 2^32 a permutation, a odd, both drawn by MT19937 from a seed.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace redoubt::stages::data {

inline constexpr std::size_t kPermutations = 128;
inline constexpr char kMinHashScheme[] = "affine32";

using MinHash = std::array<std::uint32_t, kPermutations>;

class MinHasher {
 public:
  // Shingles are all runs of so many bytes (1 to 64) of a text; a shorter text is one shingle.
  MinHasher(std::uint32_t seed, std::size_t shingle_bytes);
  // Of a text that was folded before (fold.h). All ones for an empty text.
  MinHash signature(std::string_view text) const;
  // FNV-1a of a shingle, 32 bits.
  static std::uint32_t shingle_hash(std::string_view shingle);

 private:
  std::size_t shingle_bytes_;
  MinHash a_, b_;
};

}  // namespace redoubt::stages::data
