// SPDX-License-Identifier: Apache-2.0
//
// Which weights an adapter belongs to, where another model of the same shapes would take it too.
#pragma once

#include <string>

#include "engine/model/config.h"
#include "weights/model_files.h"

namespace redoubt::engine::model {

// Hexadecimal SHA-256 over the paths of the modules that can be adapted and the first values of each one's weights, rounded to bf16.
// Equal for the same model in another float type, in other shards, with or without a head of its own; any training or merging of
// the modules changes it. An error of a folder that lacks one is that of reading it.
Result<std::string> base_digest(const weights::ModelFiles& files, const Config& config);

}  // namespace redoubt::engine::model
