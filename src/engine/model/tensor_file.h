// SPDX-License-Identifier: Apache-2.0
//
// Between safetensors files and tensors in memory.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "engine/torch.h"
#include "weights/safetensors.h"

namespace redoubt::engine::model {

// The tensor in the type it is stored in; f32, f16, bf16 and i64 are read, others are unsupported.
Result<at::Tensor> read_tensor(const weights::SafetensorsFile& file, const weights::TensorInfo& tensor);

// Writes contiguous fp32, bf16 or int64 tensors by name, atomically.
Status write_tensors(const std::filesystem::path& path, const std::map<std::string, at::Tensor>& tensors,
                     const std::map<std::string, std::string>& metadata);

}  // namespace redoubt::engine::model
