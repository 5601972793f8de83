// SPDX-License-Identifier: Apache-2.0
//
// One thing that a check found wrong, as `redoubt audit verify` and `redoubt verify` list it. A check that names problems
// goes on to the end; an Error stops at the first.
#pragma once

#include <string>
#include <vector>

namespace redoubt {

struct Problem {
  std::string kind;    // a stable word: "checkpoint", "tile", "entry", "stray", "signature"...
  std::string object;  // what is wrong: a path, an entry's index, a statement's step
  std::string detail;  // what is wrong with it, for a person

  bool operator==(const Problem&) const = default;
};
using Problems = std::vector<Problem>;

}  // namespace redoubt
