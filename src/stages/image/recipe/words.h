// SPDX-License-Identifier: Apache-2.0
//
// Words of an instruction with quotes, escapes and variables, as Dockerfiles have them ("$NAME", "${NAME:-word}").
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::stages::image::recipe {

// Nothing for a variable that is not set.
using Variables = std::function<std::optional<std::string>(const std::string& name)>;

class Words {
 public:
  Words(char escape, Variables variables) : escape_(escape), variables_(std::move(variables)) {}

  // One word: quotes gone, variables put in. invalid_argument for a quote or a brace without an end and for ${NAME:?word};
  // unsupported for other modifiers than ":-", ":+", "-", "+", ":?" and "?".
  Result<std::string> expand(std::string_view word) const;
  // The same, split at blanks that stand in no quotes, those in variables too.
  Result<std::vector<std::string>> expand_and_split(std::string_view text) const;
  // Split at blanks that stand in no quotes; quotes and variables stay.
  std::vector<std::string> split(std::string_view text) const;
  // "a=b c='d e'" as pairs, each value expanded with the variables as they were before; "a b c" is a single pair.
  Result<std::vector<std::pair<std::string, std::string>>> pairs(std::string_view text) const;

 private:
  char escape_;
  Variables variables_;
};

// Split at blanks, nothing else.
std::vector<std::string> fields(std::string_view text);
// Without the blanks at a line's ends, nor its CR.
std::string_view trimmed(std::string_view line);
// The letters of ASCII alone.
std::string upper(std::string_view text);

}  // namespace redoubt::stages::image::recipe
