// SPDX-License-Identifier: Apache-2.0
#include "engine/model/base_digest.h"

#include <algorithm>

#include "crypto/hash.h"
#include "engine/model/lora.h"
#include "engine/model/tensor_file.h"

namespace redoubt::engine::model {
namespace {

constexpr std::uint64_t kValues = 4096;  // of each matrix

// Files of a model without its head name their tensors without the prefix.
Result<weights::ModelFiles::Place> find(const weights::ModelFiles& files, const std::string& name, const std::string& prefix) {
  auto found = files.find(name);
  return found || !name.starts_with(prefix) ? std::move(found) : files.find(name.substr(prefix.size()));
}

Result<at::Tensor> first_values(const weights::ModelFiles::Place& place) {
  auto part = *place.tensor;
  const auto width = weights::bytes_of(part.type);
  part.bytes = std::min(part.bytes, kValues * width);
  part.shape = {part.bytes / width};
  return read_tensor(*place.file, part);
}

}  // namespace

Result<std::string> base_digest(const weights::ModelFiles& files, const Config& config) {
  crypto::Sha256 sum;
  for (const auto& module : module_paths(config)) {
    const auto place = TRY(find(files, module.path + ".weight", config.names.prefix));
    const auto values = TRY(first_values(place)).to(at::kBFloat16);
    sum.update(module.path + "\n").update({static_cast<const std::uint8_t*>(values.const_data_ptr()), values.nbytes()});
  }
  return sum.finish().hex();
}

}  // namespace redoubt::engine::model
