// SPDX-License-Identifier: Apache-2.0
//
// The ids of words that were seen lately: most words of a text come again. A fixed table of cache lines; a word that falls on the
// place of another takes it over, so that no text can make it slow.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace redoubt::engine::tokenizer {

class WordCache {
 public:
  static constexpr std::size_t kWordBytesMax = 30;
  static constexpr std::size_t kIdsMax = 8;

  // Forgets everything that another owner put in.
  void belong_to(std::uint64_t owner) {
    if (owner == owner_ && !lines_.empty()) return;
    owner_ = owner;
    lines_.assign(kLines, {});
  }

  // The ids of a word of 1 to kWordBytesMax bytes; empty when it is not known.
  std::span<const std::int32_t> find(std::string_view word) const {
    const auto& line = lines_[place_of(word)];
    if (line.size != word.size() || std::memcmp(line.word, word.data(), word.size()) != 0) return {};
    return {line.ids, line.count};
  }

  void put(std::string_view word, std::span<const std::int32_t> ids) {
    if (ids.empty() || ids.size() > kIdsMax) return;
    auto& line = lines_[place_of(word)];
    line.size = static_cast<std::uint8_t>(word.size());
    line.count = static_cast<std::uint8_t>(ids.size());
    std::memcpy(line.word, word.data(), word.size());
    std::memcpy(line.ids, ids.data(), ids.size_bytes());
  }

 private:
  static constexpr std::size_t kLines = 1 << 14;
  struct alignas(64) Line {
    std::int32_t ids[kIdsMax];
    std::uint8_t size = 0, count = 0;
    char word[kWordBytesMax];
  };
  static_assert(sizeof(Line) == 64);

  static std::size_t place_of(std::string_view word) {
    std::uint64_t hash = word.size();
    const char* at = word.data();
    std::size_t left = word.size();
    for (; left >= 8; at += 8, left -= 8) hash = mix(hash, at, 8);
    if (left > 0) hash = mix(hash, at, left);
    return hash >> 50;
  }
  static std::uint64_t mix(std::uint64_t hash, const char* bytes, std::size_t size) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes, size);
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
  }

  std::uint64_t owner_ = 0;
  std::vector<Line> lines_;
};

}  // namespace redoubt::engine::tokenizer
