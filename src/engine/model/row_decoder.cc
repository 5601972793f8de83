// SPDX-License-Identifier: Apache-2.0
//
// One token of each of some sequences: every product reads its weights once, nothing is allocated and no call of the framework is made
// between two layers. The threads share out each product's outputs and meet behind it. Activations are fp32 throughout but as a product
// takes them and as the cache keeps them.
#include <omp.h>

#include <algorithm>

#include "engine/model/causal_model.h"
#include "engine/model/layer_math.h"
#include "engine/model/row_attention.h"

namespace redoubt::engine::model {
namespace {

constexpr std::int64_t kBlock = 32;  // outputs that one thread computes together
static_assert(kBlock == row::kPanel);

// A row for each sequence, in fp32 and as the matrix takes it, where that is another form.
struct Input {
  const float* wide;
  const std::byte* prepared;
};

// A matrix to multiply with, in whatever form it is stored.
template <class T>
struct Matrix {
  const PackedMatrix* packed = nullptr;
  const QuantisedMatrix* quantised = nullptr;
  const T* dense = nullptr;
  const T* bias = nullptr;
  std::int64_t inputs = 0, outputs = 0;

  Matrix(const PackedMatrix& panels, const QuantisedMatrix& rounded, const at::Tensor& plain, const at::Tensor& added) {
    if (panels.defined()) packed = &panels, inputs = panels.inputs(), outputs = panels.outputs();
    else if (rounded.defined()) quantised = &rounded, inputs = rounded.inputs(), outputs = rounded.outputs();
    else dense = plain.const_data_ptr<T>(), inputs = plain.size(1), outputs = plain.size(0);
    if (added.defined()) bias = added.const_data_ptr<T>();
  }
  std::size_t prepared_bytes() const { return packed ? packed->prepared_bytes() : 0; }
  void multiply_row(const float* x, const float* sums, std::int64_t begin, std::int64_t end, float* out) const {
    if (quantised) quantised->multiply_rows(x, sums, begin, end, out);
    else row::multiply_rows(x, dense + begin * inputs, inputs, end - begin, out);
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
      : model_(model), config_(model.config()), lines_(std::move(lines)), n_(std::ssize(lines_)), threads_(at::get_num_threads()), shares_inputs_(n_ > 1 && threads_ > 1) {
    const auto qkv = config_.query_width() + 2 * config_.key_width();
    feed_width_ = config_.intermediate * (is_gated(config_.activation) ? 2 : 1);
    residual_.resize(size(n_ * config_.hidden));
    qkv_.resize(size(n_ * qkv));
    attended_.resize(size(n_ * config_.query_width()));
    feed_.resize(size(n_ * feed_width_));
    out_.resize(size(n_ * config_.hidden));
    std::int64_t longest = 0;
    for (const auto& line : lines_) longest = std::max(longest, line.past + 1);
    const auto widest = std::max({config_.hidden, config_.query_width(), config_.intermediate});
    const auto reduced = std::max<std::int64_t>(1, ranks_max());
    inputs_.resize(shares_inputs_ ? 1 : size(threads_));
    for (auto& one : inputs_) one.wide.resize(size(n_ * widest)), one.prepared.resize(size(n_) * prepared_bytes_max() / sizeof(Lane64));
    for (int i = 0; i < threads_; ++i)
      scratch_.push_back({std::vector<float>(size(config_.hidden)), std::vector<float>(size(n_ * (widest / row::kInt4Group + 1))), std::vector<float>(size(reduced)),
                          std::vector<float>(size(kBlock)), std::vector<float>(size(longest))});
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
  struct Lane64 {
    alignas(64) std::byte bytes[64];
  };
  struct InputStore {
    std::vector<float> wide;
    std::vector<Lane64> prepared;
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

  std::size_t prepared_bytes_max() const {
    const auto& weights = model_.weights();
    auto most = weights.packed_head.defined() ? weights.packed_head.prepared_bytes() : 0;
    for (const auto& packed : weights.layers.front().packed)
      if (packed.defined()) most = std::max(most, packed.prepared_bytes());
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

    // This thread's part of `total` outputs.
    std::pair<std::int64_t, std::int64_t> share(std::int64_t total) const {
      const auto blocks = (total + kBlock - 1) / kBlock;
      return {std::min(total, blocks * thread / threads * kBlock), std::min(total, blocks * (thread + 1) / threads * kBlock)};
    }

    void norm_row(const float* x, const Norm& norm, float* out) const {
      const auto n = all.config_.hidden;
      const auto epsilon = static_cast<float>(all.config_.norm_epsilon);
      if (norm.bias.defined()) row::layer_norm(x, norm.weight.const_data_ptr<float>(), norm.bias.const_data_ptr<float>(), epsilon, out, n);
      else row::rms_norm(x, norm.weight.const_data_ptr<float>(), epsilon, out, n);
    }

    float* wide() { return store().wide.data(); }
    InputStore& store() { return all.inputs_[all.shares_inputs_ ? 0 : size(thread)]; }

    // The rows that go into a product: `fill(r)` makes one where it lies in `rows`. One row each thread makes for itself, which is
    // sooner done than waited for; of several it makes its part, for all.
    template <class Fill>
    Input input(const Matrix<T>& matrix, const float* rows, Fill fill) {
      auto* prepared = reinterpret_cast<std::byte*>(store().prepared.data());
      const auto stride = matrix.prepared_bytes();
      const auto begin = all.shares_inputs_ ? all.n_ * thread / threads : 0, end = all.shares_inputs_ ? all.n_ * (thread + 1) / threads : all.n_;
      for (auto r = begin; r < end; ++r) {
        fill(r);
        if (matrix.packed) matrix.packed->prepare(rows + r * matrix.inputs, prepared + size(r) * stride);
      }
      if (all.shares_inputs_) meet();
      return {rows, prepared};
    }

    Input normed(const Matrix<T>& matrix, const Norm& norm) {
      const auto n = all.config_.hidden;
      return input(matrix, wide(), [&](std::int64_t r) { norm_row(all.residual_.data() + r * n, norm, wide() + r * n); });
    }

    Input activated(const Matrix<T>& matrix) {
      const auto n = all.config_.intermediate;
      return input(matrix, wide(), [&](std::int64_t r) {
        const float* gate = all.feed_.data() + r * all.feed_width_;
        float* out = wide() + r * n;
        switch (all.config_.activation) {
          case Activation::gated_silu: row::swiglu(gate, gate + n, out, n); break;
          case Activation::gated_gelu: row::geglu(gate, gate + n, out, n); break;
          case Activation::gelu: row::gelu(gate, out, n); break;
        }
      });
    }

    // This thread's outputs of a product, for all sequences: out [n, outputs].
    void multiply(const Matrix<T>& matrix, const Input& x, float* out) {
      const auto [begin, end] = share(matrix.outputs);
      if (matrix.packed) matrix.packed->multiply(x.prepared, all.n_, begin, end, out, matrix.outputs);
      else multiply_rows(matrix, x.wide, begin, end, out);
      for (std::int64_t r = 0; matrix.bias && r < all.n_; ++r)
        for (auto i = begin; i < end; ++i) out[r * matrix.outputs + i] += static_cast<float>(matrix.bias[i]);
    }

    void multiply_rows(const Matrix<T>& matrix, const float* x, std::int64_t begin, std::int64_t end, float* out) {
      const auto groups = matrix.inputs / row::kInt4Group + 1;
      if (matrix.quantised)
        for (std::int64_t r = 0; r < all.n_; ++r) row::sum_groups(x + r * matrix.inputs, matrix.inputs, mine.sums.data() + r * groups);
      for (auto at = begin; at < end; at += kBlock)
        for (std::int64_t r = 0; r < all.n_; ++r)
          matrix.multiply_row(x + r * matrix.inputs, mine.sums.data() + r * groups, at, std::min(at + kBlock, end), out + r * matrix.outputs + at);
    }

    void add_adapters(std::int64_t layer, Product product, const Matrix<T>& matrix, const float* x, float* out) {
      const auto [begin, end] = share(matrix.outputs);
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
      return {weights.packed[product], weights.quantised[product], weights.products[product], weights.biases[product]};
    }

    // `make` answers the input for the matrix.
    template <class Make>
    void project(std::int64_t layer, Product product, Make make, float* out) {
      const auto matrix = matrix_of(layer, product);
      const Input x = make(matrix);
      multiply(matrix, x, out);
      add_adapters(layer, product, matrix, x.wide, out);
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
    void add_to_residual(const Norm& post_norm) {
      const auto n = all.config_.hidden;
      const auto [begin, end] = share(n);
      if (post_norm.defined()) meet();
      for (std::int64_t r = 0; r < all.n_; ++r) {
        const float* part = all.out_.data() + r * n;
        if (post_norm.defined()) norm_row(part, post_norm, mine.normed.data()), part = mine.normed.data();
        for (auto i = begin; i < end; ++i) all.residual_[size(r * n + i)] += part[i];
      }
      meet();
    }

    void layer(std::int64_t index) {
      const auto& config = all.config_;
      const auto& weights = all.model_.weights().layers[size(index)];
      const auto attention = all.model_.attention_of(index);
      project(index, kAttentionIn, [&](const auto& matrix) { return normed(matrix, weights.attention_norm); }, all.qkv_.data());
      meet();
      const auto heads = all.n_ * config.key_heads;
      for (std::int64_t i = heads * thread / threads; i < heads * (thread + 1) / threads; ++i) attend(attention, index, i / config.key_heads, i % config.key_heads);
      meet();
      project(index, kAttentionOut, [&](const auto& matrix) { return input(matrix, all.attended_.data(), [](std::int64_t) {}); }, all.out_.data());
      add_to_residual(weights.attention_post_norm);
      project(index, kFeedIn, [&](const auto& matrix) { return normed(matrix, weights.feed_norm); }, all.feed_.data());
      meet();
      project(index, kFeedOut, [&](const auto& matrix) { return activated(matrix); }, all.out_.data());
      add_to_residual(weights.feed_post_norm);
    }

    void run(float* logits) {
      const auto& config = all.config_;
      const auto& weights = all.model_.weights();
      for (std::int64_t index = 0; index < config.layers; ++index) layer(index);
      const Matrix<T> head(weights.packed_head, weights.quantised_head, weights.head, {});
      multiply(head, normed(head, weights.final_norm), logits);
      const auto [begin, end] = share(config.vocabulary);
      if (config.logit_softcap > 0)
        for (std::int64_t r = 0; r < all.n_; ++r) row::soft_cap(logits + r * config.vocabulary + begin, 1, static_cast<float>(config.logit_softcap), end - begin);
    }
  };

  const CausalModel& model_;
  const Config& config_;
  std::vector<Line<T>> lines_;
  const std::int64_t n_;
  const int threads_;
  const bool shares_inputs_;
  std::int64_t feed_width_ = 0;
  std::vector<float> residual_, qkv_, attended_, feed_, out_;
  std::vector<InputStore> inputs_;  // one, or one a thread
  std::vector<Scratch> scratch_;
};

}  // namespace

at::Tensor CausalModel::decode_rows(std::span<const DecodeStep> steps) const {
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
