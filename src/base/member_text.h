// SPDX-License-Identifier: Apache-2.0
//
// A member of a JSON text as it was written, for what must keep the order of its members.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>

namespace redoubt {

// The text of the value at a path of member names; nothing when there is none. `json` must have been checked: valid, without
// duplicate names.
std::optional<std::string_view> member_text(std::string_view json, std::initializer_list<std::string_view> path);

}  // namespace redoubt
