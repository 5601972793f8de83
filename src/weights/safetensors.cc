// SPDX-License-Identifier: Apache-2.0
#include "weights/safetensors.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"

namespace redoubt::weights {

SafetensorsFile::SafetensorsFile(std::unique_ptr<RandomAccess> file, std::string where, Header header)
    : file_(std::move(file)), where_(std::move(where)), header_(std::move(header)) {
  for (std::size_t i = 0; i < header_.tensors.size(); ++i) index_[header_.tensors[i].name] = i;
}

Result<SafetensorsFile> SafetensorsFile::open(std::unique_ptr<RandomAccess> file, std::string where) {
  auto header = TRY(read_header(*file, where));
  return SafetensorsFile(std::move(file), std::move(where), std::move(header));
}

Result<const TensorInfo*> SafetensorsFile::find(std::string_view name) const {
  auto found = index_.find(name);
  if (found == index_.end()) return fail(ErrorCode::not_found, "no tensor '" + std::string(name) + "'", where_);
  return &header_.tensors[found->second];
}

Status SafetensorsFile::read(const TensorInfo& tensor, MutableByteView into) const {
  CHECK(into.size() == tensor.bytes);
  return file_->read_at(tensor.offset, into);
}

Result<SafetensorsWriter> SafetensorsWriter::begin(Sink& out, std::vector<TensorInfo> tensors,
                                                   const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t data_bytes = 0;
  for (auto& tensor : tensors) {
    tensor.bytes = bytes_of(tensor.type);
    for (auto size : tensor.shape) tensor.bytes *= size;
    tensor.offset = data_bytes;
    data_bytes += tensor.bytes;
    CHECK(!header.contains(tensor.name));
    header[tensor.name] = {
        {"dtype", to_string(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {tensor.offset, data_bytes}}};
  }
  std::string text = dump_json(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  TRY(out.write(ByteView(reinterpret_cast<const std::uint8_t*>(&length), 8)));
  TRY(out.write(view_of(text)));
  for (auto& tensor : tensors) tensor.offset += 8 + length;
  return SafetensorsWriter(out, std::move(tensors), data_bytes);
}

Status SafetensorsWriter::write(ByteView bytes) {
  CHECK(bytes.size() <= left_);
  left_ -= bytes.size();
  return out_->write(bytes);
}

void SafetensorsWriter::finish() const { CHECK(left_ == 0); }

Status write_safetensors(Sink& out, std::vector<TensorView> tensors, const std::map<std::string, std::string>& metadata) {
  std::map<std::string_view, ByteView> bytes;
  std::vector<TensorInfo> infos;
  for (const auto& tensor : tensors) {
    bytes[tensor.name] = tensor.bytes;
    infos.push_back({.name = tensor.name, .type = tensor.type, .shape = tensor.shape});
  }
  auto writer = TRY(SafetensorsWriter::begin(out, std::move(infos), metadata));
  for (const auto& tensor : writer.tensors()) {
    const auto view = bytes.at(tensor.name);
    CHECK(view.size() == tensor.bytes);
    TRY(writer.write(view));
  }
  writer.finish();
  return {};
}

}  // namespace redoubt::weights
