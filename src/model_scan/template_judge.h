// SPDX-License-Identifier: Apache-2.0
//
// Whether a Jinja template does no more than format: it is read as tokens, and what it names, calls and reaches into is held against what
// published chat templates use. Nothing is rendered.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace redoubt::model_scan {

struct TemplateProblem {
  std::string rule;  // "attribute", "call", "tag", "text", "malformed"
  std::string detail;
  std::size_t offset = 0;
};
// The first thing that is more than formatting.
std::optional<TemplateProblem> judge_template(std::string_view text);

}  // namespace redoubt::model_scan
