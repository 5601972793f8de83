// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace redoubt::packages {

// Without the spaces around it, as a line of a record holds a value.
inline std::string_view trimmed(std::string_view text) {
  const auto from = text.find_first_not_of(" \t\r");
  return from == text.npos ? std::string_view() : text.substr(from, text.find_last_not_of(" \t\r") + 1 - from);
}

}  // namespace redoubt::packages
