// SPDX-License-Identifier: Apache-2.0
//
// Texts that are nearly the same, found by locality-sensitive hashing of their MinHash signatures: 21 bands of 6 values, of which a
// byte each is kept (b-bit minwise hashing, Li and König 2010), so that a text costs 126 bytes. A pair that shares a band is
// compared by all its values. Of pairs with a similarity of 0.8 it finds 99.8 %.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "stages/data/minhash.h"

namespace redoubt::stages::data {

inline constexpr std::size_t kBands = 21, kBandValues = 6;

struct Sketch {
  std::array<std::uint8_t, kBands * kBandValues> values{};  // all zeros: of no text, near to none
  static Sketch of(const MinHash& signature);
  // An estimate of the Jaccard similarity of the texts' shingles; its standard error is at most 0.045.
  double similarity(const Sketch& other) const;
  std::uint64_t band(std::size_t number) const;
  bool is_none() const;
};

struct NearPair {
  std::uint32_t earlier = 0;  // a text's number in the order of `sketches`
  double similarity = 0;
};

// For each text the earliest text before it that it is near to, where there is one that shares a band. In a bucket of many texts
// each is compared with at most 64 that are near to none before them. Takes 40 bytes a text on each of `threads` threads.
std::vector<std::optional<NearPair>> near_duplicates(const std::vector<Sketch>& sketches, double threshold, unsigned threads);

// Texts to compare others with.
class NearIndex {
 public:
  void add(const Sketch& sketch);
  void build();  // after the last `add`
  // The most similar of those that share a band and reach the threshold.
  std::optional<NearPair> nearest(const Sketch& sketch, double threshold) const;

 private:
  std::vector<Sketch> sketches_;
  std::array<std::vector<std::pair<std::uint64_t, std::uint32_t>>, kBands> bands_;
};

}  // namespace redoubt::stages::data
