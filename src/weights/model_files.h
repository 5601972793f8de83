// SPDX-License-Identifier: Apache-2.0
//
// The weights of a Hugging Face folder: one model.safetensors, or shards named by model.safetensors.index.json.
#pragma once

#include <filesystem>
#include <functional>

#include "weights/safetensors.h"

namespace redoubt::weights {

// Opens a file of the folder by its name; not_found when there is none.
using OpenFile = std::function<Result<std::unique_ptr<RandomAccess>>(const std::string& name)>;

class ModelFiles {
 public:
  // `stem` is "model" for a model and "adapter_model" for a PEFT adapter. With an index, each tensor must be in the shard
  // that the index names, and no shard may hold a tensor that the index leaves out.
  static Result<ModelFiles> open(const OpenFile& open_file, const std::string& stem = "model");
  static Result<ModelFiles> open_folder(const std::filesystem::path& folder, const std::string& stem = "model");

  struct Place {
    const SafetensorsFile* file;
    const TensorInfo* tensor;
  };
  Result<Place> find(std::string_view name) const;
  std::vector<const TensorInfo*> tensors() const;

 private:
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
};

}  // namespace redoubt::weights
