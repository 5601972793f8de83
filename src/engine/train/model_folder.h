// SPDX-License-Identifier: Apache-2.0
//
// A model's folder written anew with some of its weights changed: what full fine-tuning and merging leave.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "engine/torch.h"

namespace redoubt::engine::train {

// What takes the place of a tensor, or nothing. Tensors are [outputs, inputs] or as the file has them; any float type.
using Replacement = std::function<Result<std::optional<at::Tensor>>(const std::string& name, const at::Tensor& stored)>;

// Copies configuration and tokenizer from `from`, and writes model.safetensors with the same names, shapes and types, one
// tensor in memory at a time. A signature of the old folder (model.sig) is not copied: it would not hold.
Status write_model_folder(const std::filesystem::path& from, const std::filesystem::path& to,
                          const Replacement& replacement);

}  // namespace redoubt::engine::train
