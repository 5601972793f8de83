// SPDX-License-Identifier: Apache-2.0
//
// How tokens become text again, as tokenizer.json's "decoder" says. A whole row of tokens and a stream of them go the same way,
// so a stream's text is always that of the whole.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace redoubt::engine::tokenizer {

// One rule at work on one row of tokens. What it cannot know yet it holds back; nothing it has handed on changes later.
class DecoderStage {
 public:
  virtual ~DecoderStage() = default;
  using Next = std::function<void(std::string)>;
  virtual void take(std::string token, const Next& next) = 0;
  virtual void end(const Next& next) = 0;
};
using DecoderStagePtr = std::unique_ptr<DecoderStage>;
using TokenRule = std::function<std::string(std::string)>;
struct DecoderStep {
  std::function<DecoderStagePtr()> make;
  TokenRule in_text;         // what it makes of one token in the middle of a text
  TokenRule at_start = {};   // of the first token of a text; none: the same
  bool by_token = true;      // whether the text is what these make of token after token
  bool takes_more = false;   // whether what the first token left untaken is taken from those that follow
  bool joins_bytes = false;  // whether tokens of single bytes go on as one
  std::string rewrites = {}; // what it writes otherwise wherever a token holds it
};

class Decoder {
 public:
  // Null is none, which writes spaces between tokens. CTC and unknown types are unsupported by their names.
  static Result<Decoder> parse(const Json& description, const std::string& where);

  std::vector<DecoderStagePtr> start() const;

  // What the token writes in the middle of a text: "▁the" is " the", "<0x0A>" a line end. Not always UTF-8.
  std::string bytes_in_text(std::string_view token) const;
  // The same for the first token of a text, which a decoder may strip of its space; nothing where what it writes depends on the
  // tokens that follow.
  std::optional<std::string> bytes_at_start(std::string_view token) const;
  bool start_differs() const;
  // Whether a text is what its tokens write one after the other: the first one's bytes at the start, then the others'.
  bool by_token() const;
  // Bytes that tokens of single bytes must not write together, since the decoder would write something else; empty where there are none.
  const std::string& not_from_bytes() const { return not_from_bytes_; }

 private:
  Status add(const Json& step, const std::string& where, int depth);
  std::vector<DecoderStep> steps_;
  std::string not_from_bytes_ = {};
  bool fused_ = false;  // whether the steps so far make one token of all
};

// The text of tokens as they come. Only valid UTF-8 comes out.
class DecoderStream {
 public:
  explicit DecoderStream(const Decoder& decoder) : stages_(decoder.start()) {}
  std::string push(std::string_view token);
  std::string finish();

 private:
  void pass(std::size_t stage, std::string token, std::string& out);
  std::vector<DecoderStagePtr> stages_;
};

}  // namespace redoubt::engine::tokenizer
