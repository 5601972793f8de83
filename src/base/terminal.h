// SPDX-License-Identifier: Apache-2.0
//
// Text that comes from models, files and peers must not steer the terminal that it is shown on.
#pragma once

#include <string>

namespace redoubt {

// Control characters but for line feed and tab become '?': those of ASCII (C0 and DEL), and those of Unicode's C1 block in
// UTF-8, which terminals take for escape sequences as well.
std::string without_control_characters(std::string text);

}  // namespace redoubt
