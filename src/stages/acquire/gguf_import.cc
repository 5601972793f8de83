// SPDX-License-Identifier: Apache-2.0
#include "stages/acquire/gguf_import.h"

#include "base/file.h"
#include "base/new_folder.h"
#include "stages/acquire/gguf_config.h"
#include "stages/acquire/gguf_tokenizer.h"
#include "stages/acquire/gguf_weights.h"

namespace redoubt::stages::acquire {
namespace {

std::string pretty(const Json& value) { return value.dump(2) + "\n"; }

}  // namespace

Status import_gguf(const std::filesystem::path& path, const std::filesystem::path& folder, Progress& progress, const Stopped& stopped) {
  auto file = TRY(FileReader::open_regular(path));
  const auto header = TRY(weights::GgufHeader::read(*file, path.string()));
  const auto shape = TRY(read_gguf_shape(header));
  const auto config = TRY(make_config(header, shape, *file));
  const auto generation = TRY(make_generation_config(header));
  const auto tokenizer = TRY(make_tokenizer(header));

  auto target = TRY(NewFolder::create(folder));
  TRY(write_file(target.path() / "config.json", pretty(config)));
  TRY(write_file(target.path() / "generation_config.json", pretty(generation)));
  TRY(write_file(target.path() / "tokenizer.json", tokenizer.tokenizer));
  TRY(write_file(target.path() / "tokenizer_config.json", pretty(tokenizer.config)));
  TRY(write_file(target.path() / "special_tokens_map.json", pretty(tokenizer.special_tokens)));
  auto model = TRY(AtomicFile::create(target.path() / "model.safetensors"));
  TRY(write_gguf_weights(header, shape, *file, *model, progress, stopped));
  TRY(model->commit());
  return target.commit();
}

}  // namespace redoubt::stages::acquire
