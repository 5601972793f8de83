// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/json.h"

namespace redoubt::engine::model {

// Null stands for a member that is not there.
inline bool is_given(const Json& config, const std::string& key) { return config.contains(key) && !config[key].is_null(); }

}  // namespace redoubt::engine::model
