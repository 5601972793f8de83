// SPDX-License-Identifier: Apache-2.0
//
// Parts of a JSON text as they were written, for what must keep the order of its members. The text must have been checked: valid,
// without duplicate names.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

namespace redoubt {

// The text of the value at a path of member names; nothing when there is none.
std::optional<std::string_view> member_text(std::string_view json, std::initializer_list<std::string_view> path);

// The texts of an array's elements; none of any other value.
std::vector<std::string_view> element_texts(std::string_view json);

}  // namespace redoubt
