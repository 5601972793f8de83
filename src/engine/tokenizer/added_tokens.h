// SPDX-License-Identifier: Apache-2.0
//
// Tokens that are found in the raw text before anything else: "<|im_start|>" and its like.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace redoubt::engine::tokenizer {

struct AddedToken {
  std::int32_t id = 0;
  std::string content = {};
  bool special = false;      // left out by a decoder that skips special tokens
  bool single_word = false;  // only between characters that are no part of a word
  bool strip_left = false;   // takes the white space before it along
  bool strip_right = false;  // and after it
  bool normalized = false;   // found after those that are not
};

// A stretch of text: an added token's, or (id < 0) text to be tokenised.
struct Stretch {
  std::string_view text;
  std::int32_t id = -1;
};

class AddedTokens {
 public:
  static Result<AddedTokens> parse(const Json& list, const std::string& where);

  // Cuts the text at the leftmost, longest tokens. `text` must outlive the answer and be UTF-8.
  std::vector<Stretch> split(std::string_view text) const;
  const std::vector<AddedToken>& all() const { return tokens_; }

 private:
  // The tokens of one pass as a tree of bytes.
  struct Tree {
    struct Node {
      std::map<char, std::uint32_t> next;
      std::int32_t token = -1;  // index into tokens_
    };
    std::vector<Node> nodes{1};
    void insert(std::string_view content, std::int32_t token);
    std::int32_t longest_at(std::string_view text) const;
  };
  std::vector<Stretch> split_by(const Tree& tree, std::string_view text) const;

  std::vector<AddedToken> tokens_;
  Tree raw_, normalized_;
};

}  // namespace redoubt::engine::tokenizer
