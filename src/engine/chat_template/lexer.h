// SPDX-License-Identifier: Apache-2.0
//
// A template as a row of tokens, with Jinja's white space control (trim_blocks and lstrip_blocks on, as Transformers sets them).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::engine::chat_template {

struct Token {
  enum Kind { text, block_begin, block_end, output_begin, output_end, name, string, integer, real, symbol, end } kind = end;
  std::string value = {};  // the text, name, symbol, or a string without its quotes
  std::int64_t whole = 0;
  double number = 0;
  int line = 1;
};

Result<std::vector<Token>> tokenize(std::string_view source, const std::string& where);

}  // namespace redoubt::engine::chat_template
