// SPDX-License-Identifier: Apache-2.0
//
// A GGUF file becomes a Hugging Face folder, so that a model that is only to be had quantised takes the same way as any
// other.
#pragma once

#include <filesystem>
#include <functional>

#include "base/progress.h"
#include "base/result.h"

namespace redoubt::stages::acquire {

// Writes config.json, generation_config.json, tokenizer.json, tokenizer_config.json, special_tokens_map.json and
// model.safetensors (bfloat16) to `folder`, which must be new or empty and appears whole or not at all. Only models of the
// architecture `llama` with a byte-level BPE are taken; anything that would change what the model computes and has no place
// in the folder is unsupported by its name. Memory stays flat: weights pass row by row.
//
// What a killed import left beside the folder is removed by the next one. When `stopped` answers true between two pieces of a
// tensor the import ends as unavailable and leaves nothing.
using Stopped = std::function<bool()>;
Status import_gguf(const std::filesystem::path& file, const std::filesystem::path& folder, Progress& progress, const Stopped& stopped = {});

}  // namespace redoubt::stages::acquire
