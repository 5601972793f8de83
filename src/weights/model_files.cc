// SPDX-License-Identifier: Apache-2.0
#include "weights/model_files.h"

#include <set>

#include "base/file.h"
#include "base/json.h"

namespace redoubt::weights {
namespace {

constexpr std::uint64_t kIndexBytesMax = 64 << 20;

Result<std::unique_ptr<SafetensorsFile>> open_shard(const OpenFile& open_file, const std::string& name) {
  auto file = TRY(SafetensorsFile::open(TRY(open_file(name)), name));
  return std::make_unique<SafetensorsFile>(std::move(file));
}

// The index's weight map: tensor name to shard.
Result<std::map<std::string, std::string>> read_index(const RandomAccess& file, const std::string& where) {
  RandomAccessSource source(file);
  auto bytes = TRY(read_all(source, kIndexBytesMax));
  const Json index = TRY(parse_json(text_of(bytes), where));
  const Json map = TRY(json_object(index, "weight_map", where));
  std::map<std::string, std::string> shards;
  for (const auto& [tensor, shard] : map.items()) {
    if (!shard.is_string()) return fail(ErrorCode::invalid_argument, "weight_map names a shard that is no string", where);
    const auto& name = shard.get_ref<const std::string&>();
    if (!is_safe_relative_path(name) || name.find('/') != std::string::npos || !name.ends_with(".safetensors"))
      return fail(ErrorCode::invalid_argument, "weight_map names a shard that is no .safetensors file of this folder",
                  where);
    shards[tensor] = name;
  }
  return shards;
}

}  // namespace

Result<ModelFiles> ModelFiles::open(const OpenFile& open_file, const std::string& stem) {
  ModelFiles model;
  const std::string single = stem + ".safetensors", index_name = single + ".index.json";
  // One file counts before the shards that an index beside it names, as in Transformers.
  auto alone = open_file(single);
  if (!alone && alone.error().code != ErrorCode::not_found) return fail(alone.error());
  if (alone) {
    auto file = TRY(SafetensorsFile::open(std::move(*alone), single));
    model.files_.push_back(std::make_unique<SafetensorsFile>(std::move(file)));
    return model;
  }
  auto index = open_file(index_name);
  if (!index) return fail(index.error().code == ErrorCode::not_found ? alone.error() : index.error());
  const auto shards = TRY(read_index(**index, index_name));
  std::set<std::string> names;
  for (const auto& [tensor, shard] : shards) names.insert(shard);
  std::size_t found = 0;
  for (const auto& name : names) {
    auto file = TRY(open_shard(open_file, name));
    for (const auto& tensor : file->header().tensors) {
      auto listed = shards.find(tensor.name);
      if (listed == shards.end() || listed->second != name)
        return fail(ErrorCode::invalid_argument, "a shard holds a tensor that the index does not place there",
                    name + ": tensor '" + tensor.name + "'");
      ++found;
    }
    model.files_.push_back(std::move(file));
  }
  if (found != shards.size())
    return fail(ErrorCode::invalid_argument, "the index names tensors that no shard holds", index_name);
  return model;
}

Result<ModelFiles> ModelFiles::open_folder(const std::filesystem::path& folder, const std::string& stem) {
  return open(
      [&](const std::string& name) -> Result<std::unique_ptr<RandomAccess>> { return TRY(FileReader::open(folder / name)); },
      stem);
}

Result<ModelFiles::Place> ModelFiles::find(std::string_view name) const {
  for (const auto& file : files_) {
    auto tensor = file->find(name);
    if (tensor) return Place{file.get(), *tensor};
  }
  return fail(ErrorCode::not_found, "the model has no tensor '" + std::string(name) + "'", files_.front()->where());
}

std::vector<const TensorInfo*> ModelFiles::tensors() const {
  std::vector<const TensorInfo*> all;
  for (const auto& file : files_)
    for (const auto& tensor : file->header().tensors) all.push_back(&tensor);
  return all;
}

}  // namespace redoubt::weights
