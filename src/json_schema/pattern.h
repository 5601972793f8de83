// SPDX-License-Identifier: Apache-2.0
//
// The regular expressions of JSON Schema's `pattern` that mean the same to ECMA-262 and to Python: characters, escapes, `.`, classes,
// groups, alternation, and the quantifiers * + ? {m,n} (lazy ones too); ^ and $ at the ends of the whole or of its alternatives. A
// shorthand class (\d, \w, \s and their complements) stands for its ASCII members only, since the dialects differ on the others. All
// else (look-around, back references, \b, Unicode properties) is unsupported by its name.
#pragma once

#include <string_view>

#include "json_schema/code_points.h"

namespace redoubt::json_schema {

struct PatternLimits {
  std::size_t bytes_max = 4096;
  std::size_t nfa_states_max = 4000, dfa_nodes_max = 2000;
  std::size_t work_max = 20'000'000;  // of all patterns of a schema
  int depth_max = 32;
};

// The strings in which the pattern is found. `work` is what the patterns before took; what this one takes is added. Errors: unsupported,
// invalid_argument, limit_exceeded.
Result<CodePointDfa> compile_pattern(std::string_view pattern, std::size_t& work, PatternLimits limits = {});

}  // namespace redoubt::json_schema
