// SPDX-License-Identifier: Apache-2.0
//
// Finds secrets, personal data and hidden characters in a text. Kinds of personal data have Presidio's names. A detector
// answers places only: what it matched never leaves this folder.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::detectors {

struct Match {
  std::string_view kind;
  std::size_t offset = 0, length = 0;  // bytes in the text
};

// Where the word has to stand that a few rules ask for somewhere: in the whole text, or near by. Who reads a text while it comes can't know
// the whole of it.
enum class Reach { whole_text, near_by };

// All detectors, compiled once. Safe to use from several threads.
class Detectors {
 public:
  // Only kinds that `is_wanted` (empty: all but URL).
  static Result<std::unique_ptr<Detectors>> create(const std::function<bool(std::string_view kind)>& is_wanted = {}, Reach reach = Reach::whole_text);
  ~Detectors();
  // Matches in the order of their places; at most 1,000 of one kind in one text. A text that is not UTF-8, or that a matcher gives
  // up on, is one UNSCANNABLE.
  std::vector<Match> scan(std::string_view text) const;

 private:
  struct Compiled;
  explicit Detectors(std::unique_ptr<Compiled> compiled);
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace redoubt::detectors
