// SPDX-License-Identifier: Apache-2.0
//
// The policy over data (config/schema/data_policy.schema.json) and the word lists that it names.
#pragma once

#include <filesystem>

#include "stages/data/policy.h"

namespace redoubt::pipeline {

// invalid_argument with FILE:LINE for an unknown key or kind, an action that a kind can't take, a word list that is not there, is no
// UTF-8 or has no word.
Result<stages::data::Policy> load_data_policy(const std::filesystem::path& file);

}  // namespace redoubt::pipeline
