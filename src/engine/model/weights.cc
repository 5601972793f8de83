// SPDX-License-Identifier: Apache-2.0
#include "engine/model/weights.h"

#include <malloc.h>

#include <algorithm>
#include <set>
#include <utility>

#include "engine/model/tensor_file.h"

namespace redoubt::engine::model {
namespace {

constexpr const char* kHead = "lm_head.weight";

// Takes tensors out of the files one by one and remembers which, so that what is left over can be refused.
class Loader {
 public:
  Loader(const weights::ModelFiles& files, const Config& config, Precision precision)
      : files_(files), config_(config), type_(scalar_type(precision)) {
    // A file of the model without its head has no prefix.
    const std::string embedding = config.names.embedding + ".weight";
    if (!holds(prefix_ + embedding) && holds(embedding)) prefix_.clear();
  }

  const std::string& prefix() const { return prefix_; }

  Result<at::Tensor> matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
    return load(name, {rows, columns}, type_);
  }
  // A linear module's weight, whichever way it lies in the file, into rows of the matrix that it is a part of.
  Status linear(const std::string& name, const at::Tensor& rows) {
    const std::int64_t outputs = rows.size(0), inputs = rows.size(1);
    if (config_.names.transposed) {
      rows.copy_(TRY(matrix(name, inputs, outputs)).t());
      return {};
    }
    const auto place = TRY(take(name, {outputs, inputs}));
    if (TRY(stored_type(*place.file, *place.tensor)) == type_) return read_tensor(*place.file, *place.tensor, rows);
    rows.copy_(TRY(read_tensor(*place.file, *place.tensor)));
    return {};
  }
  at::Tensor empty(std::int64_t rows, std::int64_t columns) const { return at::empty({rows, columns}, type_); }
  Result<at::Tensor> bias(const std::string& name, std::int64_t size) { return load(name, {size}, type_); }

  // Undefined when the family has no such norm.
  Result<Norm> norm(const std::string& place, const std::string& name, std::int64_t size) {
    Norm out;
    if (name.empty()) return out;
    out.weight = TRY(load(place + name + ".weight", {size}, at::kFloat));
    if (config_.norm_from_one) out.weight.add_(1);
    if (config_.norm == NormKind::layer) out.bias = TRY(load(place + name + ".bias", {size}, at::kFloat));
    return out;
  }

  bool holds(const std::string& name) const { return files_.find(name).has_value(); }

  Status refuse_rest() const {
    for (const auto* tensor : files_.tensors()) {
      // Tables that older files carry; they are computed.
      const bool derived = tensor->name.ends_with("rotary_emb.inv_freq") ||
                           (config_.names.transposed &&
                            (tensor->name.ends_with(".attn.bias") || tensor->name.ends_with(".attn.masked_bias")));
      if (!derived && !taken_.contains(tensor->name))
        return fail(ErrorCode::unsupported, "the model holds a tensor that its configuration does not explain",
                    tensor->name);
    }
    return {};
  }

 private:
  // Where the tensor lies, which is of floating point and has this shape.
  Result<weights::ModelFiles::Place> take(const std::string& name, const std::vector<std::int64_t>& shape) {
    const auto place = TRY(files_.find(name));
    const auto type = TRY(stored_type(*place.file, *place.tensor));
    if (!std::ranges::equal(place.tensor->shape, shape, std::cmp_equal<std::uint64_t, std::int64_t>))
      return fail(ErrorCode::invalid_argument, "a tensor's shape is not what config.json says",
                  place.file->where() + ": " + name);
    if (!at::isFloatingType(type))
      return fail(ErrorCode::unsupported, std::string("weights of type ") + weights::to_string(place.tensor->type),
                  place.file->where() + ": " + name, "give the weights as F32, F16 or BF16");
    taken_.insert(name);
    return place;
  }

  Result<at::Tensor> load(const std::string& name, const std::vector<std::int64_t>& shape, at::ScalarType type) {
    const auto place = TRY(take(name, shape));
    return TRY(read_tensor(*place.file, *place.tensor)).to(type);
  }

  const weights::ModelFiles& files_;
  const Config& config_;
  at::ScalarType type_;
  std::string prefix_ = config_.names.prefix;
  std::set<std::string> taken_;
};

Result<LayerWeights> load_layer(Loader& loader, const Config& config, std::int64_t layer) {
  const Names& names = config.names;
  const std::string place = loader.prefix() + names.layers + "." + std::to_string(layer) + ".";
  LayerWeights out;
  out.attention_norm = TRY(loader.norm(place, names.attention_norm, config.hidden));
  out.attention_post_norm = TRY(loader.norm(place, names.attention_post_norm, config.hidden));
  out.feed_norm = TRY(loader.norm(place, names.feed_norm, config.hidden));
  out.feed_post_norm = TRY(loader.norm(place, names.feed_post_norm, config.hidden));
  out.query_norm = TRY(loader.norm(place + names.attention + ".", names.query_norm, config.head_size));
  out.key_norm = TRY(loader.norm(place + names.attention + ".", names.key_norm, config.head_size));
  std::vector<at::Tensor> biases[kProducts];
  for (const auto& module : modules_of(config)) {
    auto& matrix = out.products[module.product];
    if (!matrix.defined()) matrix = loader.empty(outputs_of(config, module.product), module.inputs);
    TRY(loader.linear(place + module.path + ".weight", matrix.narrow(0, module.row, module.rows)));
    if (config.biased[module.product])
      biases[module.product].push_back(TRY(loader.bias(place + module.path + ".bias", module.rows)));
  }
  const auto joined = [](const std::vector<at::Tensor>& parts) {
    return parts.size() == 1 ? parts[0].contiguous() : at::cat(parts);
  };
  for (int product = 0; product < kProducts; ++product)
    if (!biases[product].empty()) out.biases[product] = joined(biases[product]);
  return out;
}

}  // namespace

at::ScalarType scalar_type(Precision precision) { return precision == Precision::bf16 ? at::kBFloat16 : at::kFloat; }

std::int64_t outputs_of(const Config& c, Product product) {
  if (product == kAttentionIn) return c.query_width() + 2 * c.key_width();
  if (product == kFeedIn) return is_gated(c.activation) ? 2 * c.intermediate : c.intermediate;
  return c.hidden;
}

std::vector<Module> modules_of(const Config& c) {
  const std::int64_t inputs[kProducts] = {c.hidden, c.query_width(), c.hidden, c.intermediate};
  std::vector<Module> out;
  for (int p = 0; p < kProducts; ++p) {
    const auto product = static_cast<Product>(p);
    const auto& names = c.names.modules[static_cast<std::size_t>(p)];
    const std::string& parent = p < kFeedIn ? c.names.attention : c.names.feed;
    // One module has all rows; query, key and value have their widths, gate and up the half each.
    std::vector<std::int64_t> rows(names.size(), outputs_of(c, product) / std::ssize(names));
    if (names.size() == 3) rows = {c.query_width(), c.key_width(), c.key_width()};
    std::int64_t row = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      out.push_back({parent + "." + names[i], names[i], product, row, rows[i], inputs[p]});
      row += rows[i];
    }
  }
  return out;
}

std::vector<at::Tensor> Weights::tensors() const {
  std::vector<at::Tensor> out = {embedding, head, final_norm.weight, final_norm.bias, positions};
  for (const auto& layer : layers) {
    for (const auto* norm : {&layer.attention_norm, &layer.feed_norm, &layer.attention_post_norm, &layer.feed_post_norm,
                             &layer.query_norm, &layer.key_norm})
      out.insert(out.end(), {norm->weight, norm->bias});
    out.insert(out.end(), std::begin(layer.products), std::end(layer.products));
    out.insert(out.end(), std::begin(layer.biases), std::end(layer.biases));
    for (const auto& matrix : layer.quantised)
      for (const auto& tensor : matrix.tensors()) out.push_back(tensor);
  }
  for (const auto& tensor : quantised_head.tensors()) out.push_back(tensor);
  std::erase_if(out, [](const at::Tensor& tensor) { return !tensor.defined(); });
  return out;
}

Status check_format(const Config& c, WeightFormat format) {
  if (format != WeightFormat::int4) return {};
  for (const auto inputs : {c.hidden, c.query_width(), c.intermediate})
    if (inputs % 32 != 0)
      return fail(ErrorCode::unsupported, "weights in 4 bits need widths that are multiples of 32, and one is " + std::to_string(inputs),
                  c.name, "use int8");
  return {};
}

void LayerWeights::quantise(WeightFormat format) {
  if (format == WeightFormat::as_loaded) return;
  for (int product = 0; product < kProducts; ++product) {
    quantised[product] = QuantisedMatrix::of(products[product], format);
    products[product].reset();
  }
}

void Weights::quantise_head(bool tied) {
  quantised_head = QuantisedMatrix::of(head, WeightFormat::int8);
  if (!tied) head.reset();
}

Result<Weights> load_weights(const weights::ModelFiles& files, const Config& config, Precision precision, WeightFormat format) {
  c10::InferenceMode guard;
  TRY(check_format(config, format));
  Loader loader(files, config, precision);
  const Names& names = config.names;
  Weights out;
  std::string embedding = loader.prefix() + names.embedding + ".weight";
  if (config.tied_embeddings && !loader.holds(embedding) && loader.holds(kHead)) embedding = kHead;
  out.embedding = TRY(loader.matrix(embedding, config.vocabulary, config.hidden));
  if (!names.positions.empty())
    out.positions = TRY(loader.matrix(loader.prefix() + names.positions + ".weight", config.context_length, config.hidden));
  out.final_norm = TRY(loader.norm(loader.prefix(), names.final_norm, config.hidden));
  for (std::int64_t i = 0; i < config.layers; ++i) {
    out.layers.push_back(TRY(load_layer(loader, config, i)));
    out.layers.back().quantise(format);
  }
  out.head = out.embedding;
  // Files may hold the tied head once more; one that differs is not tied, which is what Transformers makes of it too.
  if (!config.tied_embeddings || loader.holds(kHead)) {
    auto head = TRY(loader.matrix(kHead, config.vocabulary, config.hidden));
    if (!config.tied_embeddings || !head.equal(out.embedding)) out.head = head;
  }
  TRY(loader.refuse_rest());
  if (format != WeightFormat::as_loaded) {
    out.quantise_head(config.tied_embeddings);
    ::malloc_trim(0);  // what the layers were read into is free and lies between what they became
  }
  return out;
}

}  // namespace redoubt::engine::model
