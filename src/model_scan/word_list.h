// SPDX-License-Identifier: Apache-2.0
//
// Lists of names that are allowed, written as one text with a space between two.
#pragma once

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace redoubt::model_scan {

inline std::set<std::string, std::less<>> words_of(std::string_view text) {
  std::set<std::string, std::less<>> words;
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    if (end > 0) words.insert(std::string(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

}  // namespace redoubt::model_scan
