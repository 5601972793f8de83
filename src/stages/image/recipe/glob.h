// SPDX-License-Identifier: Apache-2.0
//
// Patterns of names: '*' and '?' within one part of a path, "[a-z]" and "[^a-z]", '\' before what is meant as it stands, and "**" for
// any number of parts. Time grows with pattern times path, whatever both hold.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::stages::image::recipe {

bool is_pattern(std::string_view text);
// One part of a path, without '/'.
bool matches_name(std::string_view pattern, std::string_view name);
// A whole path, both relative and without dots.
bool matches_path(std::string_view pattern, std::string_view path);

// The paths that a pattern fits, part by part, so that only its own folders are listed. `names_in` answers what stands in a folder ("" is
// the root), nothing for what is none. limit_exceeded above a million paths.
Result<std::vector<std::string>> paths_that_fit(const std::string& pattern, const std::function<Result<std::vector<std::string>>(const std::string& folder)>& names_in);

// The rules of a .dockerignore: what is left out of a build's context. The last rule that fits a path or a folder above it decides.
class IgnoreRules {
 public:
  // Lines; '#' starts a comment, '!' takes back in.
  static IgnoreRules parse(std::string_view text);
  bool ignores(std::string_view path) const;
  // Whether something below an ignored folder may be taken back in.
  bool has_exceptions() const { return has_exceptions_; }

 private:
  struct Rule {
    std::string pattern;
    bool takes_in = false;
  };
  std::vector<Rule> rules_;
  bool has_exceptions_ = false;
};

}  // namespace redoubt::stages::image::recipe
