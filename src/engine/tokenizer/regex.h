// SPDX-License-Identifier: Apache-2.0
//
// The regular expressions of a tokenizer, written for Oniguruma and run by PCRE2.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::engine::tokenizer {

struct Range {
  std::size_t begin, end;
};

class Regex {
 public:
  static Result<Regex> compile(std::string_view pattern, std::string_view where);

  // Puts all matches from left to right into `matches`, over text that must be UTF-8. An empty match counts unless it follows
  // straight on another. limit_exceeded when the pattern backtracks without end. Safe from several threads.
  Status find_all(std::string_view text, std::vector<Range>& matches) const;

 private:
  struct Free {
    void operator()(void* code) const;
  };
  explicit Regex(void* code) : code_(code) {}
  std::unique_ptr<void, Free> code_;
};

}  // namespace redoubt::engine::tokenizer
