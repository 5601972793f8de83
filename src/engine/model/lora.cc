// SPDX-License-Identifier: Apache-2.0
#include "engine/model/lora.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/model/layer_math.h"

namespace redoubt::engine::model {
namespace {

// Uniform in [-1, 1) from the 53 high bits: the same on every machine, which std::uniform_real_distribution need not be.
double signed_uniform(std::mt19937_64& generator) { return static_cast<double>(generator() >> 11) * 0x1p-52 - 1.0; }

}  // namespace

void set_dropout(LoraWeights& weights, double rate, std::uint64_t key) {
  for (std::size_t layer = 0; layer < weights.size(); ++layer)
    for (std::size_t product = 0; product < kProducts; ++product)
      weights[layer][product].dropout = {rate, mix(mix(key) + layer * kProducts + product)};
}

Result<Adapter> Adapter::lay_out(const Config& config, std::int64_t rank, double scale,
                                 const std::vector<std::pair<std::int64_t, std::string>>& adapted) {
  Adapter adapter;
  adapter.rank_ = rank;
  adapter.scale_ = scale;
  adapter.layers_ = config.layers;
  std::int64_t offset = 0;
  for (const auto& module : modules_of(config)) {
    adapter.product_sizes_[module.product].first += module.rows;
    adapter.product_sizes_[module.product].second = module.inputs;
  }
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    std::array<std::int64_t, kProducts> rank_rows = {};
    for (const auto& module : modules_of(config)) {
      if (std::find(adapted.begin(), adapted.end(), std::pair(layer, std::string(module.name))) == adapted.end()) continue;
      Part part{layer, module, offset, offset + rank * module.inputs, rank_rows[module.product]};
      offset = part.b + module.rows * rank;
      rank_rows[module.product] += rank;
      adapter.parts_.push_back(part);
    }
  }
  if (adapter.parts_.empty()) return fail(ErrorCode::invalid_argument, "the adapter adapts no module");
  adapter.values_ = at::zeros({offset}, at::kFloat);
  return adapter;
}

Result<Adapter> Adapter::create(const Config& config, const LoraOptions& options, std::uint64_t seed) {
  c10::InferenceMode guard;
  const auto modules = modules_of(config);
  std::vector<std::string> targets = options.targets;
  if (targets.empty())
    for (const auto& module : modules) targets.emplace_back(module.name);
  for (const auto& target : targets)
    if (std::none_of(modules.begin(), modules.end(), [&](const Module& module) { return target == module.name; }))
      return fail(ErrorCode::invalid_argument, "no module is named '" + target + "'", "target_modules",
                  "use all-linear, or names out of q_proj k_proj v_proj o_proj gate_proj up_proj down_proj");
  std::vector<std::pair<std::int64_t, std::string>> adapted;
  for (std::int64_t layer = 0; layer < config.layers; ++layer)
    for (const auto& target : targets) adapted.emplace_back(layer, target);

  auto adapter = TRY(lay_out(config, options.rank, options.alpha / static_cast<double>(options.rank), adapted));
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
