// SPDX-License-Identifier: Apache-2.0
#include "engine/train/model_folder.h"

#include <algorithm>

#include "base/file.h"
#include "engine/model/tensor_file.h"
#include "weights/model_files.h"

namespace redoubt::engine::train {
namespace {

constexpr std::uint64_t kCopiedBytesMax = 256 << 20;
constexpr const char* kWeightsFile = "model.safetensors";

// The weights, in whatever form they lie there, and what was signed of them.
bool is_replaced(const std::string& name) {
  constexpr std::string_view kForms[] = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".ot", ".gguf", ".ggml", ".onnx", ".onnx_data", ".tflite", ".npz"};
  return std::ranges::any_of(kForms, [&](auto form) { return name.ends_with(form) || name.ends_with(std::string(form) + ".index.json"); }) || name == "model.sig";
}

Status copy_files(const std::filesystem::path& from, const std::filesystem::path& to) {
  TRY(make_folder(to));
  for (const auto& name : TRY(list_folder(from))) {
    if (is_replaced(name) || !is_plain_file(from / name)) continue;
    TRY(write_file(to / name, TRY(read_file(from / name, kCopiedBytesMax)), FileMode::readable_by_all));
  }
  return {};
}

// Of folders within it a model needs that of the templates beside its own; others hold weights in other forms.
Status copy_the_rest(const std::filesystem::path& from, const std::filesystem::path& to) {
  constexpr const char* kTemplates = "additional_chat_templates";
  TRY(copy_files(from, to));
  return is_folder(from / kTemplates) ? copy_files(from / kTemplates, to / kTemplates) : Status();
}

ByteView bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::uint8_t*>(tensor.const_data_ptr()), tensor.nbytes()};
}

Status write_tensor(weights::SafetensorsWriter& writer, const weights::ModelFiles::Place& place,
                    const Replacement& replacement) {
  const auto stored = TRY(model::read_tensor(*place.file, *place.tensor));
  const auto replaced = TRY(replacement(place.tensor->name, stored));
  if (!replaced) return writer.write(bytes_of(stored));
  if (replaced->sizes() != stored.sizes())
    return fail(ErrorCode::internal, "a weight would change its shape", place.tensor->name);
  return writer.write(bytes_of(replaced->to(stored.scalar_type()).contiguous()));
}

}  // namespace

Status write_model_folder(const std::filesystem::path& from, const std::filesystem::path& to,
                          const Replacement& replacement) {
  c10::InferenceMode guard;
  TRY(make_folder(to));
  const auto files = TRY(weights::ModelFiles::open_folder(from));
  std::vector<weights::TensorInfo> infos;
  for (const auto* tensor : files.tensors()) infos.push_back(*tensor);
  auto out = TRY(AtomicFile::create(to / kWeightsFile, FileMode::readable_by_all));
  auto writer = TRY(weights::SafetensorsWriter::begin(*out, std::move(infos), {{"format", "pt"}}));
  for (const auto& info : writer.tensors()) TRY(write_tensor(writer, TRY(files.find(info.name)), replacement));
  writer.finish();
  TRY(out->commit());
  return copy_the_rest(from, to);
}

}  // namespace redoubt::engine::train
