// SPDX-License-Identifier: Apache-2.0
//
// Findings as SARIF 2.1.0 (OASIS), the form in which code hosts and security consoles take them: one run of one tool.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace redoubt::sarif {

enum class Level { error, warning, note };
// "critical" and "high" are errors, "medium" (or "moderate") and "warning" warnings, all else is a note. Upper case is the same.
Level level_of(std::string_view severity);

struct Rule {
  std::string id;               // stable: "model/pickle-unsafe-global"
  std::string summary = {};     // one sentence
  std::string help = {};        // what to do about it; left out when empty
  std::string severity = {};    // "critical", ..., "low"; hosts sort by it; left out when empty
};

struct Finding {
  std::string rule;                        // the id; a rule that `Report::rules` lacks is added with nothing but its id
  std::string severity = "high";           // decides the level
  std::string message;
  std::string path = {};                   // of the file, relative, with '/'; what URIs may not hold is escaped. Empty: no place
  std::string member = {};                 // inside the file: a container's member, a package of an image
  std::optional<std::uint64_t> offset = {};  // of the first byte, from 0
  std::uint64_t line = 0, column = 0;      // from 1; 0 is none. A column counts code points
  Json properties = Json::object();        // what else is known, left out when empty
};

struct Report {
  std::string tool = "redoubt", version = {};
  std::vector<Rule> rules = {};
  std::vector<Finding> findings = {};
};

// The whole log. Rules stand in the order of their ids, and only those of the report; equal reports give equal bytes. A text
// that is not UTF-8 is written with U+FFFD.
Json to_log(Report report);

}  // namespace redoubt::sarif
