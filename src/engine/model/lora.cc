// SPDX-License-Identifier: Apache-2.0
#include "engine/model/lora.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>
#include <set>

#include "engine/model/layer_math.h"
#include "engine/model/low_rank_products.h"

namespace redoubt::engine::model {
namespace {

// Uniform in [-1, 1) from the 53 high bits: the same on every machine, which std::uniform_real_distribution need not be.
double signed_uniform(std::mt19937_64& generator) { return static_cast<double>(generator() >> 11) * 0x1p-52 - 1.0; }

std::string path_of(const Config& config, std::int64_t layer, const Module& module) {
  return config.names.prefix + config.names.layers + "." + std::to_string(layer) + "." + module.path;
}

}  // namespace

void set_dropout(LoraWeights& weights, double rate, std::uint64_t key) {
  for (std::size_t layer = 0; layer < weights.size(); ++layer)
    for (std::size_t product = 0; product < kProducts; ++product)
      weights[layer][product].dropout = {rate, mix(mix(key) + layer * kProducts + product)};
}

namespace {

// Normal with deviation 1, by Box and Muller from two uniform numbers.
double normal(std::mt19937_64& generator) {
  const double u = 0.5 * (signed_uniform(generator) + 1), v = signed_uniform(generator);
  return std::sqrt(-2 * std::log(1 - u)) * std::cos(std::numbers::pi * v);
}

}  // namespace

std::vector<ModulePath> module_paths(const Config& config) {
  std::vector<ModulePath> paths;
  for (std::int64_t layer = 0; layer < config.layers; ++layer)
    for (const auto& module : modules_of(config)) paths.push_back({path_of(config, layer, module), layer});
  return paths;
}

Result<Adapter> Adapter::lay_out(const Config& config, const LoraOptions& options, const std::vector<LoraTarget>& targets,
                                 const Weights* base) {
  if (options.magnitude && !base)
    return fail(ErrorCode::unsupported, "the adapter uses use_dora, which needs the base's weights", "use_dora");
  Adapter adapter;
  adapter.options_ = options;
  adapter.layers_ = config.layers;
  adapter.transposed_ = config.names.transposed;
  const auto modules = modules_of(config);
  for (const auto& module : modules)
    adapter.product_sizes_[module.product] = {outputs_of(config, module.product), module.inputs};
  std::int64_t offset = 0;
  auto next = targets.begin();
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    std::array<std::int64_t, kProducts> rank_rows = {};
    for (const auto& module : modules) {
      const std::string path = path_of(config, layer, module);
      if (next == targets.end() || next->path != path) {
        adapter.left_out_.push_back(path);
        continue;
      }
      Part part{layer, module, path, next->rank, options.scale_of(next->rank, next->alpha), offset, 0, -1,
                rank_rows[module.product], {}, {}};
      part.b = part.a + part.rank * module.inputs;
      offset = part.b + module.rows * part.rank;
      if (options.magnitude) {
        part.magnitude = std::exchange(offset, offset + module.rows);
        const auto& weights = base->layers[static_cast<std::size_t>(layer)];
        part.rounded = weights.quantised[module.product];
        if (!part.rounded.defined()) part.base = weights.products[module.product].narrow(0, module.row, module.rows);
      }
      rank_rows[module.product] += part.rank;
      adapter.parts_.push_back(std::move(part));
      ++next;
    }
  }
  CHECK(next == targets.end());
  if (adapter.parts_.empty()) return fail(ErrorCode::invalid_argument, "the adapter adapts no module");
  adapter.values_ = at::zeros({offset}, at::kFloat);
  return adapter;
}

Result<Adapter> Adapter::create(const Config& config, const LoraOptions& options, std::uint64_t seed, const Weights* base) {
  c10::InferenceMode guard;
  auto targets = choose_targets(module_paths(config), options);
  if (!targets) return fail(targets.error());
  auto adapter = TRY(lay_out(config, options, *targets, base));
  std::mt19937_64 generator(seed);
  float* values = adapter.values_.mutable_data_ptr<float>();
  for (const auto& part : adapter.parts_) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(part.module.inputs));
    for (std::int64_t i = 0; i < part.rank * part.module.inputs; ++i)
      values[part.a + i] = static_cast<float>(options.gaussian ? normal(generator) / static_cast<double>(part.rank)
                                                               : bound * signed_uniform(generator));
    if (part.magnitude >= 0) adapter.magnitude_of(part).copy_(adapter.row_norms(part));
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

// |W + s B A| of each row, from the products of small matrices: the sum itself is never made.
at::Tensor Adapter::row_norms(const Part& part, const at::Tensor& weight) const {
  const auto a = a_of(part), b = b_of(part);
  const auto w = weight.to(at::kFloat);
  auto squares = w.square().sum(1);
  squares.add_((at::mm(w, a.t()) * b).sum(1), 2 * part.scale);
  squares.add_((at::mm(b, at::mm(a, a.t())) * b).sum(1), part.scale * part.scale);
  return squares.clamp_min_(0).sqrt_();
}

at::Tensor Adapter::row_norms(const Part& part) const {
  return row_norms(part, part.rounded.defined() ? part.rounded.dense(at::kFloat, part.module.row, part.module.rows) : part.base);
}

void Adapter::make_working(LoraWeights& into, Precision precision) const {
  into.resize(static_cast<std::size_t>(layers_));
  const auto options = at::TensorOptions().dtype(scalar_type(precision));
  std::vector<std::array<std::int64_t, kProducts>> ranks(into.size());
  for (const auto& part : parts_) ranks[static_cast<std::size_t>(part.layer)][part.module.product] += part.rank;
  for (std::size_t layer = 0; layer < into.size(); ++layer)
    for (int product = 0; product < kProducts; ++product) {
      const auto rows = ranks[layer][product];
      if (rows == 0) continue;
      const auto [outputs, inputs] = product_sizes_[product];
      auto& pair = into[layer][product];
      pair = {at::zeros({rows, inputs}, options), at::zeros({outputs, rows}, options)};
      if (options_.magnitude) pair.norms = at::ones({outputs}, at::kFloat), pair.row_scale = at::ones({outputs}, at::kFloat);
    }
  for (const auto& part : parts_)
    into[static_cast<std::size_t>(part.layer)][part.module.product].bands.push_back({part.module.row, part.module.rows, part.rank_row, part.rank});
}

void Adapter::write_working(LoraWeights& into, Precision precision) const {
  c10::InferenceMode guard;
  if (into.empty()) make_working(into, precision);
  const float* values = values_.const_data_ptr<float>();
  at::parallel_for(0, std::ssize(parts_), 4, [&](std::int64_t begin, std::int64_t end) {
    for (const auto& part : std::span(parts_).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin))) {
      auto& pair = into[static_cast<std::size_t>(part.layer)][part.module.product];
      with_type_of(pair.a, [&](auto type) { write_part<decltype(type)>(part, values, pair); });
    }
  });
  for (const auto& part : parts_) {
    if (part.magnitude < 0) continue;
    auto& pair = into[static_cast<std::size_t>(part.layer)][part.module.product];
    const auto norms = row_norms(part);
    pair.norms.narrow(0, part.module.row, part.module.rows).copy_(norms);
    pair.row_scale.narrow(0, part.module.row, part.module.rows).copy_(magnitude_of(part) / norms);
  }
}

template <class T>
void Adapter::write_part(const Part& part, const float* values, LoraPair& pair) {
  const std::int64_t inputs = part.module.inputs, ranks = pair.b.size(1);
  T *a = pair.a.mutable_data_ptr<T>() + part.rank_row * inputs, *b = pair.b.mutable_data_ptr<T>() + part.module.row * ranks + part.rank_row;
  row::store(values + part.a, a, part.rank * inputs);
  std::vector<float> scaled(static_cast<std::size_t>(part.rank));
  for (std::int64_t r = 0; r < part.module.rows; ++r) {
    const float* from = values + part.b + r * part.rank;
    for (std::size_t i = 0; i < scaled.size(); ++i) scaled[i] = from[i] * static_cast<float>(part.scale);
    row::store(scaled.data(), b + r * ranks, part.rank);
  }
}

void Adapter::add_gradient(std::int64_t layer, Product product, const at::Tensor& da, const at::Tensor& db,
                           at::Tensor& gradient) const {
  CHECK(gradient.numel() == values_.numel() && da.is_contiguous() && db.is_contiguous());
  float* to = gradient.mutable_data_ptr<float>();
  const std::int64_t ranks = db.size(1);
  with_type_of(da, [&](auto type) {
    using T = decltype(type);
    for (const auto& part : parts_) {
      if (part.layer != layer || part.module.product != product) continue;
      const std::int64_t inputs = part.module.inputs;
      row::add_scaled(to + part.a, 1, da.const_data_ptr<T>() + part.rank_row * inputs, part.rank * inputs);
      const T* b = db.const_data_ptr<T>() + part.module.row * ranks + part.rank_row;
      for (std::int64_t r = 0; r < part.module.rows; ++r)
        row::add_scaled(to + part.b + r * part.rank, static_cast<float>(part.scale), b + r * ranks, part.rank);
    }
  });
}

void Adapter::add_gradient(std::int64_t layer, Product product, const at::Tensor& x, const at::Tensor& low, const at::Tensor& dy, const at::Tensor& dlow,
                           at::Tensor& gradient) const {
  CHECK(gradient.numel() == values_.numel());
  float* to = gradient.mutable_data_ptr<float>();
  const auto columns = [](const at::Tensor& of, std::int64_t first, std::int64_t count) { return Columns{of.const_data_ptr<row::bf16>() + first, of.stride(0), count}; };
  std::vector<OuterProduct> products;
  for (const auto& part : parts_) {
    if (part.layer != layer || part.module.product != product) continue;
    products.push_back({columns(dlow, part.rank_row, part.rank), columns(x, 0, part.module.inputs), to + part.a, part.module.inputs, 1, 1});
    products.push_back({columns(low, part.rank_row, part.rank), columns(dy, part.module.row, part.module.rows), to + part.b, 1, part.rank, static_cast<float>(part.scale)});
  }
  add_outer_products(products, x.size(0));
}

void Adapter::add_magnitude_gradient(std::int64_t layer, Product product, const at::Tensor& dscale, const LoraPair& pair,
                                     at::Tensor& gradient) const {
  for (const auto& part : parts_) {
    if (part.layer != layer || part.module.product != product || part.magnitude < 0) continue;
    const auto rows = [&](const at::Tensor& all) { return all.narrow(0, part.module.row, part.module.rows); };
    gradient.narrow(0, part.magnitude, part.module.rows).add_(rows(dscale) / rows(pair.norms));
  }
}

std::vector<Adapter::Merged> Adapter::modules() const {
  std::vector<Merged> out;
  for (const auto& part : parts_) out.push_back({part.layer, part.module, part.path});
  return out;
}

at::Tensor Adapter::merge(std::size_t module, const at::Tensor& weight) const {
  c10::InferenceMode guard;
  const auto& part = parts_[module];
  auto merged = weight.to(at::kFloat) + at::mm(b_of(part), a_of(part)) * part.scale;
  if (part.magnitude >= 0) merged.mul_((magnitude_of(part) / row_norms(part, weight)).unsqueeze(1));
  return merged;
}

}  // namespace redoubt::engine::model
