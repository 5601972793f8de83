// SPDX-License-Identifier: Apache-2.0
#include "engine/train/full_weights.h"

#include <map>

#include "engine/train/model_folder.h"

namespace redoubt::engine::train {
namespace {

// Where a tensor of the file lies among the masters.
struct FilePlace {
  at::Tensor values;
  bool transposed = false, from_one = false;
};
using FilePlaces = std::map<std::string, FilePlace>;

}  // namespace

void FullWeights::add(const at::Tensor& tensor, bool decays) {
  if (!tensor.defined()) return;
  const std::int64_t offset = blocks_.empty() ? 0 : blocks_.back().offset + blocks_.back().working.numel();
  if (!decays) not_decayed_.push_back({offset, offset + tensor.numel()});
  blocks_.push_back({tensor, offset});
}

void FullWeights::add(const model::Norm& norm) {
  add(norm.weight, false);
  add(norm.bias, false);
}

FullWeights FullWeights::of(const model::CausalModel& base) {
  c10::InferenceMode guard;
  const auto& weights = base.weights();
  FullWeights full(base);
  full.add(weights.embedding, true);
  full.add(weights.positions, true);
  for (const auto& layer : weights.layers) {
    for (const auto* norm : {&layer.attention_norm, &layer.feed_norm, &layer.attention_post_norm, &layer.feed_post_norm, &layer.query_norm, &layer.key_norm})
      full.add(*norm);
    for (int product = 0; product < model::kProducts; ++product) {
      full.add(layer.products[product], true);
      full.add(layer.biases[product], false);
    }
  }
  full.add(weights.final_norm);
  if (!weights.head.is_same(weights.embedding)) full.add(weights.head, true);
  const auto& last = full.blocks_.back();
  full.values_ = at::empty({last.offset + last.working.numel()}, at::kFloat);
  for (const auto& block : full.blocks_)
    full.values_.narrow(0, block.offset, block.working.numel()).copy_(block.working.reshape({-1}));
  return full;
}

void FullWeights::write_working() const {
  c10::InferenceMode guard;
  for (const auto& block : blocks_) block.working.copy_(values_.narrow(0, block.offset, block.working.numel()).view(block.working.sizes()));
}

at::Tensor FullWeights::place_of(const at::Tensor& weight, const at::Tensor& vector) const {
  for (const auto& block : blocks_)
    if (block.working.is_same(weight)) return vector.narrow(0, block.offset, weight.numel()).view(weight.sizes());
  CHECK(false);
  return {};
}

Status FullWeights::save(const std::filesystem::path& from, const std::filesystem::path& to) const {
  c10::InferenceMode guard;
  const auto& config = base_->config();
  const auto& weights = base_->weights();
  const auto& names = config.names;
  FilePlaces places;
  const auto put = [&](const std::string& name, const at::Tensor& weight, bool from_one = false) {
    if (weight.defined()) places[name] = {place_of(weight, values_), false, from_one};
  };
  const auto put_norm = [&](const std::string& place, const std::string& name, const model::Norm& norm) {
    put(place + name + ".weight", norm.weight, config.norm_from_one);
    put(place + name + ".bias", norm.bias);
  };
  put(names.prefix + names.embedding + ".weight", weights.embedding);
  put(names.prefix + names.positions + ".weight", weights.positions);
  put_norm(names.prefix, names.final_norm, weights.final_norm);
  put("lm_head.weight", weights.head);
  for (std::int64_t i = 0; i < config.layers; ++i) {
    const auto& layer = weights.layers[static_cast<std::size_t>(i)];
    const std::string place = names.prefix + names.layers + "." + std::to_string(i) + ".";
    put_norm(place, names.attention_norm, layer.attention_norm);
    put_norm(place, names.feed_norm, layer.feed_norm);
    put_norm(place, names.attention_post_norm, layer.attention_post_norm);
    put_norm(place, names.feed_post_norm, layer.feed_post_norm);
    put_norm(place + names.attention + ".", names.query_norm, layer.query_norm);
    put_norm(place + names.attention + ".", names.key_norm, layer.key_norm);
    for (const auto& module : model::modules_of(config)) {
      places[place + module.path + ".weight"] = {
          place_of(layer.products[module.product], values_).narrow(0, module.row, module.rows), names.transposed, false};
      if (config.biased[module.product])
        places[place + module.path + ".bias"] = {
            place_of(layer.biases[module.product], values_).narrow(0, module.row, module.rows), false, false};
    }
  }
  return write_model_folder(from, to, [&](const std::string& name, const at::Tensor&) -> Result<std::optional<at::Tensor>> {
    auto found = places.find(name);
    if (found == places.end()) found = places.find(names.prefix + name);  // files of a model without its head
    if (found == places.end()) return std::optional<at::Tensor>();
    auto values = found->second.values;
    if (found->second.transposed) values = values.t();
    return std::optional<at::Tensor>(found->second.from_one ? values - 1 : values);
  });
}

}  // namespace redoubt::engine::train
