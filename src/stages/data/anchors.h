// SPDX-License-Identifier: Apache-2.0
//
// Which of many words stand in a text, whatever their case, by one pass over it (Aho and Corasick 1975).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

namespace redoubt::stages::data {

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

  std::vector<std::pair<std::string_view, std::size_t>> words_;
  std::array<std::uint8_t, 256> letter_{};  // of a byte; 0: in no word
  std::size_t letters_ = 1;
  std::vector<std::uint32_t> next_;         // of a state and a letter; the highest bit: the state ends a word
  std::vector<AnchorOwners> owners_;
};

}  // namespace redoubt::stages::data
