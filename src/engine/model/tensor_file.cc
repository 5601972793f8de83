// SPDX-License-Identifier: Apache-2.0
#include "engine/model/tensor_file.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/file.h"
#include "engine/model/tasks.h"

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

constexpr std::uint64_t kPart = 512 << 10;  // bytes that one thread reads

// By all threads of the pool: a page that was never used costs more than what comes into it.
Status read_bytes(const weights::SafetensorsFile& file, const weights::TensorInfo& tensor, std::uint8_t* to) {
  const auto parts = (tensor.bytes + kPart - 1) / kPart;
  if (parts < 2) return file.read(tensor, MutableByteView(to, tensor.bytes));
  std::vector<Status> done(parts);
  for_each_task(static_cast<std::int64_t>(parts), [&](std::int64_t part) {
    const auto begin = static_cast<std::uint64_t>(part) * kPart;
    done[static_cast<std::size_t>(part)] = file.read_part(tensor, begin, MutableByteView(to + begin, std::min(kPart, tensor.bytes - begin)));
  });
  for (auto& status : done) TRY(std::move(status));
  return {};
}

}  // namespace

Result<at::Tensor> read_tensor(const weights::SafetensorsFile& file, const weights::TensorInfo& tensor) {
  for (const auto& type : kTypes) {
    if (type.stored != tensor.type) continue;
    const std::vector<std::int64_t> shape(tensor.shape.begin(), tensor.shape.end());
    auto out = at::empty(shape, type.type);
    TRY(read_bytes(file, tensor, static_cast<std::uint8_t*>(out.data_ptr())));
    return out;
  }
  return fail(ErrorCode::unsupported, std::string("tensors of type ") + weights::to_string(tensor.type),
              file.where() + ": " + tensor.name);
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
