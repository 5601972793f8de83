// SPDX-License-Identifier: Apache-2.0
//
// Words as a tree of bytes: finds every word that begins a text.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace redoubt::engine::tokenizer {

class ByteTree {
 public:
  // A word that is already there gets the new number.
  void insert(std::string_view word, std::int32_t number);

  // Calls `take(size, number)` for each word that begins the text, the shortest first. The empty word is never found.
  template <class Take>
  void prefixes(std::string_view text, Take take) const {
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<std::uint8_t>(text[i]));
      if (node == 0) return;
      if (nodes_[node].number >= 0) take(i + 1, nodes_[node].number);
    }
  }
  // The longest of them, with size 0 for none.
  std::pair<std::size_t, std::int32_t> longest(std::string_view text) const {
    std::pair<std::size_t, std::int32_t> found{0, -1};
    prefixes(text, [&](std::size_t size, std::int32_t number) { found = {size, number}; });
    return found;
  }
  bool empty() const { return nodes_.size() == 1; }

 private:
  struct Node {
    std::vector<std::pair<std::uint8_t, std::uint32_t>> next;  // sorted
    std::int32_t number = -1;
  };
  // 0, the root, for none.
  std::uint32_t child(std::uint32_t node, std::uint8_t byte) const;

  std::vector<Node> nodes_{1};
};

}  // namespace redoubt::engine::tokenizer
