// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/json.h"

namespace redoubt {

// Nothing but what is known, so that a misspelt member is not passed over. invalid_argument at `where`.
inline Status only_members(const Json& object, std::initializer_list<std::string_view> known, std::string_view where) {
  if (!object.is_object()) return fail(ErrorCode::invalid_argument, "this must be an object", std::string(where));
  for (const auto& [key, unused] : object.items())
    if (std::find(known.begin(), known.end(), key) == known.end()) return fail(ErrorCode::invalid_argument, "unknown member: " + key, std::string(where));
  return {};
}

}  // namespace redoubt
