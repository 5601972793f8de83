// SPDX-License-Identifier: Apache-2.0
//
// A row's own text, without what its form writes around it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rows/row.h"

namespace redoubt::stages::data {

// All that the row says, system prompts left out: what makes two rows nearly the same.
std::string text_of(const rows::Row& row);

// Words of a folded text: runs of letters and digits; of scripts that put no space between words each character.
std::vector<std::string_view> words_of(std::string_view folded);

}  // namespace redoubt::stages::data
