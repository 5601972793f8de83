// SPDX-License-Identifier: Apache-2.0
//
// Names of members and elements, and tables of them.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>

namespace redoubt::provider::aws {

using Name = std::string_view;
using Names = std::span<const Name>;

inline bool has_name(Names names, Name name) { return std::find(names.begin(), names.end(), name) != names.end(); }

}  // namespace redoubt::provider::aws
