// SPDX-License-Identifier: Apache-2.0
//
// What travels from the raw text to the model: stretches of text that are normalised, cut and rewritten on their way.
#pragma once

#include <algorithm>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace redoubt::engine::tokenizer {

struct Piece {
  std::string_view text = {};
  // How many of its first bytes stem from the first character of the whole input; Metaspace asks whether any do.
  std::size_t from_start = 0;

  Piece part(std::size_t begin, std::size_t end) const {
    return {text.substr(begin, end - begin), from_start > begin ? std::min(from_start, end) - begin : 0};
  }
};
using Pieces = std::vector<Piece>;

// Keeps the texts that pieces point into.
class Arena {
 public:
  std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }

 private:
  std::deque<std::string> texts_;
};

// A new character of a text, and how it relates to the old ones: 0 stands where the next old one stood, above 0 was put in after
// it, below 0 stands for the next old one and swallows so many after it.
struct Change {
  char32_t character = 0;
  int change = 0;
};
// The piece with all characters replaced by `changes`, after `skipped` old characters that go away.
Piece rewrite(const Piece& piece, const std::vector<Change>& changes, std::size_t skipped, Arena& arena);
// The piece with `prefix` before it, which counts as a part of its first character. An empty piece stays as it is.
Piece prepend(const Piece& piece, std::string_view prefix, Arena& arena);

}  // namespace redoubt::engine::tokenizer
