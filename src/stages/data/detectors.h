// SPDX-License-Identifier: Apache-2.0
//
// Finds secrets, personal data and hidden characters in a text. Kinds of personal data have Presidio's names. A detector
// answers places only: what it matched never leaves this folder.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::stages::data {

enum class Severity { error, warning };  // an error stops the run unless its kind was accepted
const char* to_string(Severity severity);

struct Match {
  std::string kind;
  Severity severity = Severity::error;
  std::size_t offset = 0, length = 0;  // bytes in the text
};

// All detectors, compiled once. Safe to use from several threads.
class Detectors {
 public:
  static Result<std::unique_ptr<Detectors>> create();
  ~Detectors();
  // Matches in the order of their places. A text that is not UTF-8, or that a matcher gives up on, is one UNSCANNABLE.
  std::vector<Match> scan(std::string_view text) const;

 private:
  struct Pattern;
  void scan(const Pattern& pattern, std::string_view text, std::vector<Match>& matches) const;
  explicit Detectors(std::vector<Pattern> patterns);
  std::vector<Pattern> patterns_;
};

}  // namespace redoubt::stages::data
