// SPDX-License-Identifier: Apache-2.0
//
// A regular expression over a text that may not be whole yet.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::guards {

struct Found {
  std::size_t begin = 0, end = 0;
};

// What an expression says of a text.
struct Findings {
  std::vector<Found> found;
  std::size_t open = std::string_view::npos;  // where a match begins that more text might make whole
  bool gave_up = false;                       // the matcher reached its limit
};

enum class Text { whole, may_go_on };

// PCRE2, without regard to case. Safe to use from several threads.
class Expression {
 public:
  // invalid_argument with the place in the pattern.
  static Result<Expression> compile(std::string_view pattern, const std::string& where);
  // The text is UTF-8. Matches that begin at `from` or later.
  Findings find(std::string_view text, std::size_t from, Text is) const;

 private:
  struct Code;
  explicit Expression(std::shared_ptr<const Code> code) : code_(std::move(code)) {}
  std::shared_ptr<const Code> code_;
};

}  // namespace redoubt::guards
