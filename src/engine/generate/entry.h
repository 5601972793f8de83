// SPDX-License-Identifier: Apache-2.0
//
// The engine's `generate` and `tokenize`.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace redoubt::engine::generate {

// One answer to the hyperparameters' `prompt` or `messages`: token events and a result on stdout, and generations.jsonl.
Status run_generate(const std::filesystem::path& root);

// Channel `text`, lines.jsonl: a JSON string a line becomes a JSON array of ids a line in ids.jsonl, or with `decode` an array
// becomes a string. A line that is not that is invalid_argument naming it.
Status run_tokenize(const std::filesystem::path& root);

}  // namespace redoubt::engine::generate
