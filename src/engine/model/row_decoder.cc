// SPDX-License-Identifier: Apache-2.0
//
// One token of few sequences: every product reads its weights once, nothing is allocated and no call of the framework is made between
// two layers. The threads share out each product's rows and meet behind it; norms, which are small, each computes for itself.
// Activations are fp32 throughout, so only what the cache keeps is rounded.
#include <omp.h>

#include <algorithm>

#include "engine/model/causal_model.h"
#include "engine/model/layer_math.h"
#include "engine/model/row_attention.h"

namespace redoubt::engine::model {
namespace {

constexpr std::int64_t kBlock = 16;  // matrix rows that stay near while every sequence's vector takes them

// A matrix to multiply with, in whatever form it is stored.
template <class T>
struct Matrix {
  const T* dense = nullptr;
  const QuantisedMatrix* quantised = nullptr;
  const T* bias = nullptr;
  std::int64_t inputs = 0, outputs = 0;

  Matrix(const at::Tensor& plain, const QuantisedMatrix& rounded, const at::Tensor& added) {
    if (rounded.defined()) quantised = &rounded, inputs = rounded.inputs(), outputs = rounded.outputs();
    else dense = plain.const_data_ptr<T>(), inputs = plain.size(1), outputs = plain.size(0);
    if (added.defined()) bias = added.const_data_ptr<T>();
  }
  void multiply(const float* x, const float* sums, std::int64_t begin, std::int64_t end, float* out) const {
    if (quantised) quantised->multiply_rows(x, sums, begin, end, out);
    else row::multiply_rows(x, dense + begin * inputs, inputs, end - begin, out);
    for (auto i = begin; bias && i < end; ++i) out[i - begin] += static_cast<float>(bias[i]);
  }
};

// One sequence while its token is computed.
template <class T>
struct Line {
  T *keys, *values;  // of its cache
  std::int64_t capacity, past;
  Angles angles, window_angles;
  const LoraWeights* lora;
};

template <class T>
class RowDecoder {
 public:
  RowDecoder(const CausalModel& model, std::vector<Line<T>> lines)
      : model_(model), config_(model.config()), lines_(std::move(lines)), n_(std::ssize(lines_)), threads_(at::get_num_threads()) {
    const auto qkv = config_.query_width() + 2 * config_.key_width();
    feed_width_ = config_.intermediate * (is_gated(config_.activation) ? 2 : 1);
    residual_.resize(size(n_ * config_.hidden));
    qkv_.resize(size(n_ * qkv));
    attended_.resize(size(n_ * config_.query_width()));
    feed_.resize(size(n_ * feed_width_));
    activated_.resize(size(n_ * config_.intermediate));
    out_.resize(size(n_ * config_.hidden));
    std::int64_t longest = 0;
    for (const auto& line : lines_) longest = std::max(longest, line.past + 1);
    const auto widest = std::max({config_.hidden, config_.query_width(), config_.intermediate});
    const auto reduced = std::max<std::int64_t>(1, ranks_max());
    for (int i = 0; i < threads_; ++i) scratch_.push_back({std::vector<float>(size(n_ * config_.hidden)), std::vector<float>(size(n_ * (widest / row::kInt4Group + 1))),
                                                           std::vector<float>(size(reduced)), std::vector<float>(size(std::max(kBlock, config_.head_size))),
                                                           std::vector<float>(size(longest))});
  }

  // residual [n, hidden] in fp32 goes in, fp32 logits [n, vocabulary] come out.
  void run(const float* embedded, float* logits) {
    std::copy_n(embedded, residual_.size(), residual_.begin());
#pragma omp parallel num_threads(threads_)
    {
      Worker worker{*this, omp_get_thread_num(), omp_get_num_threads()};
      worker.run(logits);
    }
  }

 private:
  struct Scratch {
    std::vector<float> normed, sums, reduced, block, scores;
  };

  static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }
  std::int64_t ranks_max() const {
    std::int64_t most = 0;
    for (const auto& line : lines_)
      for (std::int64_t layer = 0; line.lora && layer < config_.layers; ++layer)
        for (const auto& pair : (*line.lora)[size(layer)])
          if (pair.a.defined()) most = std::max(most, pair.a.size(0));
    return most;
  }

  // What one thread does; all do the same in step.
  struct Worker {
    RowDecoder& all;
    const int thread, threads;
    Scratch& mine = all.scratch_[static_cast<std::size_t>(thread)];

    static void meet() {
#pragma omp barrier
    }

    // This thread's part of `total` rows.
    std::pair<std::int64_t, std::int64_t> share(std::int64_t total) const {
      const auto blocks = (total + kBlock - 1) / kBlock, part = (blocks + threads - 1) / threads * kBlock;
      return {std::min(total, thread * part), std::min(total, (thread + 1) * part)};
    }

    void norm_row(const float* x, const Norm& norm, float* out) const {
      const auto n = all.config_.hidden;
      const auto epsilon = static_cast<float>(all.config_.norm_epsilon);
      if (norm.bias.defined()) row::layer_norm(x, norm.weight.const_data_ptr<float>(), norm.bias.const_data_ptr<float>(), epsilon, out, n);
      else row::rms_norm(x, norm.weight.const_data_ptr<float>(), epsilon, out, n);
    }

    const float* normed(const Norm& norm) {
      const auto n = all.config_.hidden;
      for (std::int64_t r = 0; r < all.n_; ++r) norm_row(all.residual_.data() + r * n, norm, mine.normed.data() + r * n);
      return mine.normed.data();
    }

    // Rows begin to end of a product for all sequences: out [n, outputs].
    void multiply(const Matrix<T>& matrix, const float* x, std::int64_t begin, std::int64_t end, float* out) {
      const auto groups = matrix.inputs / row::kInt4Group + 1;
      if (matrix.quantised)
        for (std::int64_t r = 0; r < all.n_; ++r) row::sum_groups(x + r * matrix.inputs, matrix.inputs, mine.sums.data() + r * groups);
      for (auto at = begin; at < end; at += kBlock)
        for (std::int64_t r = 0; r < all.n_; ++r)
          matrix.multiply(x + r * matrix.inputs, mine.sums.data() + r * groups, at, std::min(at + kBlock, end), out + r * matrix.outputs + at);
    }

    void add_adapters(std::int64_t layer, Product product, const Matrix<T>& matrix, const float* x, std::int64_t begin, std::int64_t end, float* out) {
      for (std::int64_t r = 0; r < all.n_; ++r) {
        const auto* pair = pair_of(all.lines_[size(r)].lora, layer, product);
        if (!pair) continue;
        const auto ranks = pair->a.size(0);
        row::multiply_rows(x + r * matrix.inputs, pair->a.template const_data_ptr<T>(), matrix.inputs, ranks, mine.reduced.data());
        for (auto at = begin; at < end; at += kBlock) {
          const auto count = std::min(kBlock, end - at);
          row::multiply_rows(mine.reduced.data(), pair->b.template const_data_ptr<T>() + at * ranks, ranks, count, mine.block.data());
          for (std::int64_t i = 0; i < count; ++i) out[r * matrix.outputs + at + i] += mine.block[size(i)];
        }
      }
    }

    Matrix<T> matrix_of(std::int64_t layer, Product product) const {
      const auto& weights = all.model_.weights().layers[size(layer)];
      return {weights.products[product], weights.quantised[product], weights.biases[product]};
    }

    void project(std::int64_t layer, Product product, const float* x, std::int64_t begin, std::int64_t end, float* out) {
      const auto matrix = matrix_of(layer, product);
      multiply(matrix, x, begin, end, out);
      add_adapters(layer, product, matrix, x, begin, end, out);
    }

    // The key head and its query heads of one sequence.
    void attend(const AttentionLayer& layer, std::int64_t index, std::int64_t r, std::int64_t head) {
      auto& line = all.lines_[size(r)];
      const auto& config = all.config_;
      const auto d = config.head_size, g = config.query_group(), width = config.query_width() + 2 * config.key_width();
      const bool in_window = layer.scoring.window > 0 && config.window_rope;
      const Angles& angles = in_window ? line.window_angles : line.angles;
      float *query = all.qkv_.data() + r * width + head * g * d, *key = all.qkv_.data() + r * width + config.query_width() + head * d;
      const auto start = (index * config.key_heads + head) * line.capacity * d;
      T *keys = line.keys + start, *values = line.values + start;
      prepare_head(layer, layer.key_norm, angles, line.past, key);
      row::store(key, keys + line.past * d, d);
      row::store(key + config.key_width(), values + line.past * d, d);
      const auto seen = line.past + 1, first = layer.scoring.first(seen);
      const RowAttention<T> attention{layer};
      for (std::int64_t j = 0; j < g; ++j) {
        prepare_head(layer, layer.query_norm, angles, line.past, query + j * d);
        attention.attend_wide(query + j * d, keys + first * d, values + first * d, seen - first, mine.scores.data(),
                              all.attended_.data() + r * config.query_width() + (head * g + j) * d);
      }
    }

    // The residual stream takes a part's result.
    void add_to_residual(const Norm& post_norm, std::int64_t begin, std::int64_t end) {
      const auto n = all.config_.hidden;
      if (post_norm.defined()) meet();
      for (std::int64_t r = 0; r < all.n_; ++r) {
        const float* part = all.out_.data() + r * n;
        if (post_norm.defined()) norm_row(part, post_norm, mine.normed.data()), part = mine.normed.data();
        for (auto i = begin; i < end; ++i) all.residual_[size(r * n + i)] += part[i];
      }
      meet();
    }

    void feed(std::int64_t index) {
      const auto& config = all.config_;
      const auto [begin, end] = share(config.intermediate);
      const float* x = normed(all.model_.weights().layers[size(index)].feed_norm);
      project(index, kFeedIn, x, begin, end, all.feed_.data());
      if (is_gated(config.activation)) project(index, kFeedIn, x, config.intermediate + begin, config.intermediate + end, all.feed_.data());
      for (std::int64_t r = 0; r < all.n_ && begin < end; ++r) {
        const float* gate = all.feed_.data() + r * all.feed_width_ + begin;
        const float* up = gate + config.intermediate;
        float* out = all.activated_.data() + r * config.intermediate + begin;
        switch (config.activation) {
          case Activation::gated_silu: row::swiglu(gate, up, out, end - begin); break;
          case Activation::gated_gelu: row::geglu(gate, up, out, end - begin); break;
          case Activation::gelu: row::gelu(gate, out, end - begin); break;
        }
      }
    }

    void run(float* logits) {
      const auto& config = all.config_;
      const auto& weights = all.model_.weights();
      const auto [hidden_begin, hidden_end] = share(config.hidden);
      for (std::int64_t index = 0; index < config.layers; ++index) {
        const auto& layer_weights = weights.layers[size(index)];
        const auto layer = all.model_.attention_of(index);
        const auto [begin, end] = share(config.query_width() + 2 * config.key_width());
        project(index, kAttentionIn, normed(layer_weights.attention_norm), begin, end, all.qkv_.data());
        meet();
        const auto heads = all.n_ * config.key_heads;
        for (std::int64_t i = heads * thread / threads; i < heads * (thread + 1) / threads; ++i) attend(layer, index, i / config.key_heads, i % config.key_heads);
        meet();
        project(index, kAttentionOut, all.attended_.data(), hidden_begin, hidden_end, all.out_.data());
        add_to_residual(layer_weights.attention_post_norm, hidden_begin, hidden_end);
        feed(index);
        meet();
        project(index, kFeedOut, all.activated_.data(), hidden_begin, hidden_end, all.out_.data());
        add_to_residual(layer_weights.feed_post_norm, hidden_begin, hidden_end);
      }
      const auto [begin, end] = share(config.vocabulary);
      multiply({weights.head, weights.quantised_head, {}}, normed(weights.final_norm), begin, end, logits);
      if (config.logit_softcap > 0)
        for (std::int64_t r = 0; r < all.n_; ++r) row::soft_cap(logits + r * config.vocabulary + begin, 1, static_cast<float>(config.logit_softcap), end - begin);
    }
  };

  const CausalModel& model_;
  const Config& config_;
  std::vector<Line<T>> lines_;
  const std::int64_t n_;
  const int threads_;
  std::int64_t feed_width_ = 0;
  std::vector<float> residual_, qkv_, attended_, feed_, activated_, out_;
  std::vector<Scratch> scratch_;
};

}  // namespace

at::Tensor CausalModel::decode_few(std::span<const DecodeStep> steps) const {
  const auto tokens = at::empty({std::ssize(steps)}, at::kLong), positions = at::empty_like(tokens);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    tokens.mutable_data_ptr<std::int64_t>()[i] = steps[i].token;
    positions.mutable_data_ptr<std::int64_t>()[i] = steps[i].cache->length_;
  }
  const auto x = embed(tokens, positions).to(at::kFloat);
  auto logits = at::empty({std::ssize(steps), config_.vocabulary}, at::kFloat);
  with_type_of(weights_.embedding, [&](auto type) {
    using T = decltype(type);
    std::vector<Line<T>> lines;
    for (const auto& step : steps) {
      auto& cache = *step.cache;
      lines.push_back({cache.keys_.template mutable_data_ptr<T>(), cache.values_.template mutable_data_ptr<T>(), cache.capacity_, cache.length_,
                       rotary_.angles(cache.length_ + 1, cache.length_), window_rotary_.angles(cache.length_ + 1, cache.length_), step.lora});
    }
    RowDecoder<T>(*this, std::move(lines)).run(x.template const_data_ptr<float>(), logits.template mutable_data_ptr<float>());
  });
  return logits;
}

}  // namespace redoubt::engine::model
