// SPDX-License-Identifier: Apache-2.0
//
// Patterns of names, as policies and scopes write them.
#pragma once

#include <string_view>

namespace redoubt {

// '*' is any text without '/', '?' one character but '/'; letters (ASCII) are compared without their case, as hubs do.
bool fits_pattern(std::string_view pattern, std::string_view text);

}  // namespace redoubt
