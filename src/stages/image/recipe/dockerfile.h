// SPDX-License-Identifier: Apache-2.0
//
// A Dockerfile as lines of instructions (https://docs.docker.com/reference/dockerfile/): parser directives, comments, continued
// lines, flags, the JSON form, here-documents. What an instruction means, and whether it is taken, is for others to say.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::stages::image::recipe {

struct Flag {
  std::string name, value;  // "--chown=1:1" is {"chown", "1:1"}
  bool has_value = false;
};

struct Heredoc {
  std::string name, body;
  int line = 0;  // of its first line
};

struct Instruction {
  std::string keyword;  // in upper case
  int line = 0;         // where it starts, from 1
  std::string text;     // what follows keyword and flags, on one line
  std::vector<Flag> flags;
  std::vector<Heredoc> heredocs;
  std::vector<int> continued;  // the lines that it goes on over

  // The JSON form, where the text is an array of strings.
  std::optional<std::vector<std::string>> json() const;
};

struct Dockerfile {
  std::string file;  // as the user named it
  char escape = '\\';
  std::vector<Instruction> instructions;
  std::vector<std::string> comments_ignoring = {};  // "line:RULE,RULE" of "# redoubt ignore=..." and "# hadolint ignore=..."

  std::string locate(int line) const { return file + ":" + std::to_string(line); }
};

// At most 1 MiB, 10,000 instructions, valid UTF-8 without NUL. invalid_argument names FILE:LINE.
Result<Dockerfile> parse_dockerfile(std::string_view text, std::string file);

}  // namespace redoubt::stages::image::recipe
