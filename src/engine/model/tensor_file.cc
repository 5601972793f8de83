// SPDX-License-Identifier: Apache-2.0
#include "engine/model/tensor_file.h"

#include "base/file.h"

namespace redoubt::engine::model {
namespace {

struct Pair {
  weights::DType stored;
  at::ScalarType type;
};
constexpr Pair kTypes[] = {{weights::DType::f32, at::kFloat},
                           {weights::DType::f16, at::kHalf},
                           {weights::DType::bf16, at::kBFloat16},
                           {weights::DType::i64, at::kLong}};

}  // namespace

Result<at::ScalarType> stored_type(const weights::SafetensorsFile& file, const weights::TensorInfo& tensor) {
  for (const auto& type : kTypes)
    if (type.stored == tensor.type) return type.type;
  return fail(ErrorCode::unsupported, std::string("tensors of type ") + weights::to_string(tensor.type),
              file.where() + ": " + tensor.name);
}

Result<at::Tensor> read_tensor(const weights::SafetensorsFile& file, const weights::TensorInfo& tensor) {
  const auto type = TRY(stored_type(file, tensor));
  auto out = at::empty(std::vector<std::int64_t>(tensor.shape.begin(), tensor.shape.end()), type);
  TRY(read_tensor(file, tensor, out));
  return out;
}

Status read_tensor(const weights::SafetensorsFile& file, const weights::TensorInfo& tensor, const at::Tensor& into) {
  CHECK(into.is_contiguous() && into.nbytes() == tensor.bytes);
  return file.read(tensor, MutableByteView(static_cast<std::uint8_t*>(into.data_ptr()), tensor.bytes));
}

Status write_tensors(const std::filesystem::path& path, const std::map<std::string, at::Tensor>& tensors,
                     const std::map<std::string, std::string>& metadata) {
  std::vector<weights::TensorView> views;
  for (const auto& [name, tensor] : tensors) {
    CHECK(tensor.is_contiguous());
    for (const auto& type : kTypes)
      if (type.type == tensor.scalar_type())
        views.push_back({name,
                         type.stored,
                         {tensor.sizes().begin(), tensor.sizes().end()},
                         ByteView(static_cast<const std::uint8_t*>(tensor.const_data_ptr()), tensor.nbytes())});
  }
  CHECK(views.size() == tensors.size());
  auto file = TRY(AtomicFile::create(path, FileMode::readable_by_all));
  TRY(weights::write_safetensors(*file, std::move(views), metadata));
  return file->commit();
}

}  // namespace redoubt::engine::model
