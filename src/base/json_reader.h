// SPDX-License-Identifier: Apache-2.0
//
// Reads JSON text straight into a value, several times as fast as the library.
#pragma once

#include <optional>
#include <string_view>

#include "base/json.h"

namespace redoubt::detail {

// The value that the library reads too. Nothing where it finds anything wrong, or leaves it to the library to tell: numbers that fit no
// double, and what is nested deeper than `depth_max`.
std::optional<Json> read_plain_json(std::string_view text, std::size_t depth_max);

}  // namespace redoubt::detail
