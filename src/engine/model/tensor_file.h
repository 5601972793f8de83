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

// The type a tensor is stored in: of f32, f16, bf16 and i64; others are unsupported.
Result<at::ScalarType> stored_type(const weights::SafetensorsFile& file, const weights::TensorInfo& tensor);
// The tensor in that type.
Result<at::Tensor> read_tensor(const weights::SafetensorsFile& file, const weights::TensorInfo& tensor);
// The same into `into`, which is contiguous and has the tensor's type and size.
Status read_tensor(const weights::SafetensorsFile& file, const weights::TensorInfo& tensor, const at::Tensor& into);

// Writes contiguous fp32, bf16 or int64 tensors by name, atomically.
Status write_tensors(const std::filesystem::path& path, const std::map<std::string, at::Tensor>& tensors,
                     const std::map<std::string, std::string>& metadata);

}  // namespace redoubt::engine::model
