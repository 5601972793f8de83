// SPDX-License-Identifier: Apache-2.0
//
// What a text is cut or changed at, and which side the cut-out parts go to: shared by normalizers, pre-tokenizers and decoders.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/tokenizer/regex.h"

namespace redoubt::engine::tokenizer {

// {"String": "..."} or {"Regex": "..."}.
class Pattern {
 public:
  static Result<Pattern> parse(const Json& description, const std::string& where);
  static Result<Pattern> of_regex(std::string_view pattern, const std::string& where);

  // All matches from left to right. An empty text has none, as in the tokenizers package.
  Status find_all(std::string_view text, std::vector<Range>& matches) const;

 private:
  std::string literal_ = {};
  std::optional<Regex> regex_ = {};  // none for a literal
};

// A stretch of text that matches, or lies between matches.
struct Part {
  Range range;
  bool match;
};
// The whole text as parts, nothing left out.
void parts_of(const std::vector<Range>& matches, std::size_t size, std::vector<Part>& parts);
// The whole text as parts, of which each match is one character.
void parts_by_character(std::string_view text, const std::function<bool(std::uint32_t)>& matches, std::vector<Part>& parts);

enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };
Result<Behavior> parse_behavior(const Json& step, const std::string& where);
// The stretches that are left when the matches go where `behavior` sends them; empty ones are left out.
void keep_ranges(const std::vector<Part>& parts, Behavior behavior, std::vector<Range>& ranges);

}  // namespace redoubt::engine::tokenizer
