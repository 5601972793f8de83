// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"

namespace redoubt::gateway {

// A whole number from `least` to `most` that may be left out, in which case `value` stays. invalid_argument names `where`.key.
inline Status read_count(const Json& json, const std::string& where, const char* key, int& value, std::int64_t least, std::int64_t most) {
  if (!json.contains(key)) return {};
  const auto given = TRY(json_integer(json, key, where));
  if (given < least || given > most)
    return fail(ErrorCode::invalid_argument, std::string(key) + " goes from " + std::to_string(least) + " to " + std::to_string(most), where + "." + key);
  value = static_cast<int>(given);
  return {};
}

}  // namespace redoubt::gateway
