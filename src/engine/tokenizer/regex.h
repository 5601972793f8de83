// SPDX-License-Identifier: Apache-2.0
//
// The regular expressions of pre-tokenizers, written for Oniguruma and run by PCRE2. Classes that the two see differently
// (white space, letters and numbers of newer Unicode versions) are spelt out; an escape whose meaning differs is refused.
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

  // All matches from left to right, none empty, over text that must be UTF-8. limit_exceeded when the pattern backtracks
  // without end. Safe from several threads.
  Result<std::vector<Range>> find_all(std::string_view text) const;

 private:
  struct Free {
    void operator()(void* code) const;
  };
  explicit Regex(void* code) : code_(code) {}
  std::unique_ptr<void, Free> code_;
};

// The pattern as PCRE2 has to read it.
Result<std::string> translate_pattern(std::string_view pattern, std::string_view where);

}  // namespace redoubt::engine::tokenizer
