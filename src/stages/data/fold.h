// SPDX-License-Identifier: Apache-2.0
//
// When two texts count as the same question.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace redoubt::stages::data {

// Unicode's NFKC_Casefold (case, width and composition do not count, invisible characters go), then white space run together
// and trimmed. What is not UTF-8 is invalid_argument.
Result<std::string> folded(std::string_view text);

}  // namespace redoubt::stages::data
