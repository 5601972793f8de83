// SPDX-License-Identifier: Apache-2.0
#include "stages/deploy/serving_needs.h"

#include <algorithm>

#include "base/json.h"

namespace redoubt::stages::deploy {
namespace {

constexpr std::uint64_t kConfigBytesMax = 1 << 20;
constexpr std::uint64_t kValueBytes = 2;  // of keys, values and loaded weights: bf16

struct Shape {
  std::int64_t layers = 0, key_width = 0, context = 0;  // key_width: values of one layer's key
};

// The first of several names, as families have them; 0 where none is a number.
std::int64_t number_of(const Json& config, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const auto found = config.find(name);
    if (found != config.end() && found->is_number_integer()) return found->get<std::int64_t>();
  }
  return 0;
}

Shape shape_of(const Json& config) {
  const auto heads = std::max<std::int64_t>(1, number_of(config, {"num_attention_heads", "n_head"}));
  const auto key_heads = number_of(config, {"num_key_value_heads"});
  const auto head_size = number_of(config, {"head_dim"});
  Shape shape;
  shape.layers = number_of(config, {"num_hidden_layers", "n_layer"});
  shape.key_width = (key_heads > 0 ? key_heads : heads) * (head_size > 0 ? head_size : number_of(config, {"hidden_size", "n_embd"}) / heads);
  shape.context = number_of(config, {"max_position_embeddings", "n_positions"});
  return shape;
}

std::uint64_t weight_bytes(const vault::Manifest& manifest, const std::string& folder, const Json& config) {
  std::uint64_t bytes = 0;
  for (const auto& file : manifest.files)
    if (file.path.starts_with(folder) && file.path.ends_with(".safetensors")) bytes += file.size;
  const std::string dtype = json_or(config, "dtype", json_or(config, "torch_dtype", "").c_str());
  return dtype == "float32" ? bytes / 2 : bytes;
}

std::string mib(std::uint64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

}  // namespace

Status check_serving(vault::ArtifactStore& store, const Digest& artifact, const std::string& folder, const ServingOptions& options) {
  const auto manifest = TRY(store.manifest(artifact));
  const std::string name = folder + "config.json";
  const auto file = std::ranges::find(manifest.files, name, &vault::ArtifactFile::path);
  if (file == manifest.files.end()) return fail(ErrorCode::not_found, "the model has no configuration", name);
  const Json config = TRY(parse_json(to_text(TRY(store.read_blob(file->sha256, kConfigBytesMax))), name));
  const auto shape = shape_of(config);
  if (shape.context > 0 && options.context > shape.context) {
    return fail(ErrorCode::invalid_argument, "context is " + std::to_string(options.context) + " tokens, the model's own is " + std::to_string(shape.context), "deploy.context",
                "lower it, or leave it out to serve all that the model has");
  }
  const auto context = options.context > 0 ? options.context : shape.context;
  const auto weights = weight_bytes(manifest, folder, config);
  // A text that is read for its embedding or for a guard lies beside the slots.
  const auto sequences = static_cast<std::uint64_t>((options.slots + 1) * 2 * shape.layers * shape.key_width * context) * kValueBytes;
  if (options.memory_bytes_max == 0 || weights + sequences <= options.memory_bytes_max) return {};
  return fail(ErrorCode::limit_exceeded,
              "a worker needs " + mib(weights) + " for the weights and " + mib(sequences) + " for " + std::to_string(options.slots) + " slots of " + std::to_string(context) + " tokens and a text as long, it may take " +
                  mib(options.memory_bytes_max),
              "deploy.slots", "lower deploy.slots or deploy.context");
}

}  // namespace redoubt::stages::deploy
