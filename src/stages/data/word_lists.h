// SPDX-License-Identifier: Apache-2.0
//
// Words and phrases of the user's lists in a text: whole words, whatever their case, width and composition, and whatever invisible stands in them.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "detectors/detectors.h"
#include "stages/data/policy.h"

namespace redoubt::stages::data {

class WordLists {
 public:
  // The lists must outlive it.
  explicit WordLists(const std::vector<WordList>& lists);
  bool empty() const { return phrases_.empty(); }
  // Appends the matches, in the order of their places; of several phrases of one list the first, and of those the longest; no list hides what another holds. The text is UTF-8.
  void find(std::string_view text, std::vector<Match>& matches) const;

 private:
  struct Phrase {
    std::string_view kind;
    std::vector<std::string> words;
    std::size_t list;
  };
  std::size_t count_;
  std::unordered_map<std::string, std::vector<Phrase>> phrases_;  // by their first word
};

}  // namespace redoubt::stages::data
