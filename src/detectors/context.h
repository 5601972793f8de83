// SPDX-License-Identifier: Apache-2.0
//
// What makes matches out of candidates: words near by, and one match where several rules found the same.
#pragma once

#include <string_view>
#include <vector>

#include "detectors/detectors.h"
#include "detectors/rule.h"

namespace redoubt::detectors {

// Calls `each` with every word of a list that '|' divides.
template <typename Each>
void for_each_word(std::string_view words, const Each& each) {
  while (!words.empty()) {
    const auto end = std::min(words.find('|'), words.size());
    each(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
}

// Matches sorted by place, without those that another of the same kind covers, and without what a surer kind says better: a vendor's
// key is no GENERIC_SECRET, the address in a URL's credentials no mail address, a check digit beats a telephone number.
std::vector<Match> without_repeats(std::vector<Match> matches);

}  // namespace redoubt::detectors
