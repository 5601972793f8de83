// SPDX-License-Identifier: Apache-2.0
#include "engine/model/lora.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "engine/model/layer_math.h"

namespace redoubt::engine::model {
namespace {

// Uniform in [-1, 1) from the 53 high bits: the same on every machine, which std::uniform_real_distribution need not be.
double signed_uniform(std::mt19937_64& generator) { return static_cast<double>(generator() >> 11) * 0x1p-52 - 1.0; }

std::string path_of(const Config& config, std::int64_t layer, const Module& module) {
  return config.names.prefix + config.names.layers + "." + std::to_string(layer) + "." + module.path;
}

// As PEFT looks for a target: the whole path, or its end from a dot on.
bool is_named(const std::string& path, const std::string& name) { return path == name || path.ends_with("." + name); }

}  // namespace

void set_dropout(LoraWeights& weights, double rate, std::uint64_t key) {
  for (std::size_t layer = 0; layer < weights.size(); ++layer)
    for (std::size_t product = 0; product < kProducts; ++product)
      weights[layer][product].dropout = {rate, mix(mix(key) + layer * kProducts + product)};
}

Result<Adapter> Adapter::lay_out(const Config& config, std::int64_t rank, double scale,
                                 const std::function<bool(const std::string& path)>& adapts) {
  Adapter adapter;
  adapter.rank_ = rank;
  adapter.scale_ = scale;
  adapter.layers_ = config.layers;
  adapter.transposed_ = config.names.transposed;
  const auto modules = modules_of(config);
  std::int64_t offset = 0;
  for (const auto& module : modules)
    adapter.product_sizes_[module.product] = {outputs_of(config, module.product), module.inputs};
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    std::array<std::int64_t, kProducts> rank_rows = {};
    for (const auto& module : modules) {
      const std::string path = path_of(config, layer, module);
      if (!adapts(path)) {
        adapter.left_out_.push_back(path);
        continue;
      }
      Part part{layer, module, path, offset, offset + rank * module.inputs, rank_rows[module.product]};
      offset = part.b + module.rows * rank;
      rank_rows[module.product] += rank;
      adapter.parts_.push_back(std::move(part));
    }
  }
  if (adapter.parts_.empty()) return fail(ErrorCode::invalid_argument, "the adapter adapts no module");
  adapter.values_ = at::zeros({offset}, at::kFloat);
  return adapter;
}

Result<Adapter> Adapter::create(const Config& config, const LoraOptions& options, std::uint64_t seed) {
  c10::InferenceMode guard;
  std::set<std::string> found;
  const auto adapts = [&](const std::string& path) {
    bool any = options.targets.empty();
    for (const auto& target : options.targets)
      if (is_named(path, target)) any = true, found.insert(target);
    return any;
  };
  auto laid_out = lay_out(config, options.rank, options.alpha / static_cast<double>(options.rank), adapts);
  for (const auto& target : options.targets)
    if (!found.contains(target)) {
      std::set<std::string> names;
      for (const auto& module : modules_of(config)) names.insert(module.name);
      std::string known;
      for (const auto& name : names) known += " " + name;
      return fail(ErrorCode::invalid_argument, "no module of " + config.architecture + " is named '" + target + "'",
                  "target_modules", "use all-linear, or names out of" + known);
    }
  auto adapter = TRY(std::move(laid_out));
  adapter.alpha_ = options.alpha;
  adapter.dropout_ = options.dropout;
  std::mt19937_64 generator(seed);
  float* values = adapter.values_.mutable_data_ptr<float>();
  for (const auto& part : adapter.parts_) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(part.module.inputs));
    for (std::int64_t i = 0; i < options.rank * part.module.inputs; ++i)
      values[part.a + i] = static_cast<float>(bound * signed_uniform(generator));
  }
  return adapter;
}

// The shortest names that PEFT finds exactly the adapted modules by.
std::vector<std::string> Adapter::target_names() const {
  std::set<std::string> names;
  for (const auto& part : parts_) {
    std::string name = part.path;
    for (const auto& shorter : {part.module.name, part.module.path})
      if (std::ranges::none_of(left_out_, [&](const auto& path) { return is_named(path, shorter); })) {
        name = shorter;
        break;
      }
    names.insert(name);
  }
  return {names.begin(), names.end()};
}

void Adapter::write_working(LoraWeights& into, Precision precision) const {
  c10::InferenceMode guard;
  if (into.empty()) {
    into.resize(static_cast<std::size_t>(layers_));
    const auto options = at::TensorOptions().dtype(scalar_type(precision));
    std::vector<std::array<std::int64_t, kProducts>> ranks(into.size());
    for (const auto& part : parts_) ranks[static_cast<std::size_t>(part.layer)][part.module.product] += rank_;
    for (std::size_t layer = 0; layer < into.size(); ++layer)
      for (int product = 0; product < kProducts; ++product)
        if (const auto rows = ranks[layer][product]; rows > 0)
          into[layer][product] = {at::zeros({rows, product_sizes_[product].second}, options),
                                  at::zeros({product_sizes_[product].first, rows}, options)};
  }
  for (const auto& part : parts_) {
    auto& pair = into[static_cast<std::size_t>(part.layer)][part.module.product];
    pair.a.narrow(0, part.rank_row, rank_).copy_(a_of(part));
    pair.b.narrow(0, part.module.row, part.module.rows).narrow(1, part.rank_row, rank_).copy_(b_of(part) * scale_);
  }
}

void Adapter::add_gradient(std::int64_t layer, Product product, const at::Tensor& da, const at::Tensor& db,
                           at::Tensor& gradient) const {
  CHECK(gradient.numel() == values_.numel());
  for (const auto& part : parts_) {
    if (part.layer != layer || part.module.product != product) continue;
    gradient.narrow(0, part.a, rank_ * part.module.inputs)
        .view({rank_, part.module.inputs})
        .add_(da.narrow(0, part.rank_row, rank_));
    gradient.narrow(0, part.b, part.module.rows * rank_)
        .view({part.module.rows, rank_})
        .add_(db.narrow(0, part.module.row, part.module.rows).narrow(1, part.rank_row, rank_), scale_);
  }
}

}  // namespace redoubt::engine::model
