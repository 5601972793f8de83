// SPDX-License-Identifier: Apache-2.0
//
// Tokens that are found in the text before it is cut: "<|im_start|>" and its like. Most are looked for in the raw text; those
// marked `normalized` in what the normalizer makes of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/json.h"
#include "engine/tokenizer/byte_tree.h"
#include "engine/tokenizer/model.h"
#include "engine/tokenizer/normalizer.h"
#include "engine/tokenizer/vocabulary.h"

namespace redoubt::engine::tokenizer {

struct AddedToken {
  std::int32_t id = 0;
  std::string content = {};
  std::string written = {};  // what it is decoded to: the content, or what the normalizer makes of it
  bool special = false;      // left out by a decoder that skips special tokens
  bool single_word = false;  // only between characters that are no part of a word
  bool strip_left = false;   // takes the white space before it along
  bool strip_right = false;  // and after it
  bool normalized = false;   // found in the normalised text, after those that are not
};

// A stretch of text: an added token's, or (id < 0) text to be tokenised.
struct Stretch {
  Piece piece = {};
  std::int32_t id = -1;
};

class AddedTokens {
 public:
  // A token that the model knows has the model's id; the others are numbered on from the model's count, as the tokenizers
  // package does, which does not read the ids in the file.
  static Result<AddedTokens> parse(const Json& list, const Model& model, const Normalizer& normalizer, const std::string& where);

  // Cuts the raw text, or a normalised one, at the leftmost, longest tokens. Nothing in `out` is empty.
  void split_raw(const Piece& text, std::vector<Stretch>& out) const { split(raw_, text, out); }
  void split_normalized(const Piece& text, std::vector<Stretch>& out) const { split(normalized_, text, out); }

  // By id, each id once.
  const std::vector<AddedToken>& all() const { return tokens_; }
  // Whether a decoder that skips special tokens leaves this text out.
  bool is_special(const std::string& written) const { return special_.contains(written); }
  // Whether any takes white space along.
  bool strips() const;

 private:
  Status add(AddedToken token, const Model& model, std::int32_t& next_id);
  Status index(const Normalizer& normalizer, const std::string& where);
  void split(const ByteTree& tree, const Piece& text, std::vector<Stretch>& out) const;

  std::vector<AddedToken> tokens_;
  std::unordered_set<std::string> special_;
  IdsByText places_;          // into tokens_, by content
  ByteTree raw_, normalized_;  // numbers are places in tokens_
};

}  // namespace redoubt::engine::tokenizer
