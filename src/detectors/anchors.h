// SPDX-License-Identifier: Apache-2.0
//
// Which of many words stand in a text, whatever their case, by one pass over it (Aho and Corasick 1975).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

namespace redoubt::detectors {

inline constexpr std::size_t kAnchorOwnersMax = 256;
using AnchorOwners = std::bitset<kAnchorOwnersMax>;

class Anchors {
 public:
  // Bytes in lower case; an owner below kAnchorOwnersMax is answered where one of its words stands.
  void add(std::string_view word, std::size_t owner);
  // After the last `add`.
  void build();
  AnchorOwners find(std::string_view text) const;

 private:
  void follow_failures();
  void lay_out();

  std::vector<std::pair<std::string_view, std::size_t>> words_;
  std::array<std::uint8_t, 256> letter_{};  // of a byte; 0: in no word
  std::size_t letters_ = 1;
  std::size_t longest_ = 0;
  // Of a state and a letter. After `build` states are told by where their letters begin, and those that end a word come last.
  std::vector<std::uint32_t> next_;
  std::uint32_t first_end_ = 0;             // of the states that end a word
  std::vector<AnchorOwners> owners_;        // after `build` of these alone
};

}  // namespace redoubt::detectors
