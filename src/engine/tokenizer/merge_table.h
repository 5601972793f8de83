// SPDX-License-Identifier: Apache-2.0
//
// Which two tokens merge into which, in one flat table: it is asked for every pair of every word.
#pragma once

#include <cstdint>
#include <vector>

namespace redoubt::engine::tokenizer {

struct Merge {
  std::int32_t rank, id;
};

class MergeTable {
 public:
  // Must be called before the first `insert`, with at least as many merges as will come.
  void reserve(std::size_t merges) {
    std::size_t size = 16;
    while (size < 2 * merges) size *= 2;
    entries_.assign(size, {});
  }

  // A pair that is there already gets the new rank.
  void insert(std::int32_t left, std::int32_t right, Merge merge) { entries_[place_of(key_of(left, right))] = {key_of(left, right), merge}; }

  const Merge* find(std::int32_t left, std::int32_t right) const {
    const auto& entry = entries_[place_of(key_of(left, right))];
    return entry.key == kEmpty ? nullptr : &entry.merge;
  }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  struct Entry {
    std::uint64_t key = kEmpty;
    Merge merge{};
  };
  static std::uint64_t key_of(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
  }
  // Where the key is, or would go.
  std::size_t place_of(std::uint64_t key) const {
    const auto mask = entries_.size() - 1;
    const auto hash = key * 0x9E3779B97F4A7C15u;
    for (auto at = static_cast<std::size_t>(hash ^ hash >> 32) & mask;; at = (at + 1) & mask)
      if (entries_[at].key == key || entries_[at].key == kEmpty) return at;
  }
  std::vector<Entry> entries_{16};
};

}  // namespace redoubt::engine::tokenizer
