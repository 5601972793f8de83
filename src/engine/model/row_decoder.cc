// SPDX-License-Identifier: Apache-2.0
//
// New tokens of some sequences, a row each: every product reads its weights once, nothing but a tile of attention is allocated and no call
// of the framework is made between two layers. The threads share out each product's outputs and meet behind it. Activations are fp32
// throughout but as a product takes them and as the cache keeps them.
#include <omp.h>

#include <algorithm>
#include <exception>
#include <mutex>

#include "engine/model/causal_model.h"
#include "engine/model/layer_math.h"
#include "engine/model/row_attention.h"

namespace redoubt::engine::model {
namespace {

constexpr std::int64_t kThreadBlock = 32;  // outputs that one thread computes together
static_assert(kThreadBlock == row::kPanel);
constexpr std::int64_t kTileRows = 64;  // queries that take turns at the keys of a tile: fewer would read them too often, more would leave threads idle

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

// One sequence while its new tokens are computed.
template <class T>
struct Line {
  T *keys, *values;  // of its cache
  std::int64_t capacity, past;
  Angles angles, window_angles;
  const LoraWeights* lora;
  std::int64_t first, count;  // its rows
  bool in_tiles;  // attention: those of a prompt together, those of an answer one by one
  std::int64_t seen(std::int64_t r) const { return past + r - first + 1; }
};

template <class T>
class RowDecoder {
 public:
  RowDecoder(const CausalModel& model, std::vector<Line<T>> lines)
      : model_(model), config_(model.config()), lines_(std::move(lines)), n_(lines_.back().first + lines_.back().count), threads_(at::get_num_threads()),
        shares_inputs_(n_ > 1 && threads_ > 1) {
    const auto qkv = config_.query_width() + 2 * config_.key_width();
    feed_width_ = config_.intermediate * (is_gated(config_.activation) ? 2 : 1);
    residual_.resize(size(n_ * config_.hidden));
    qkv_.resize(size(n_ * qkv));
    attended_.resize(size(n_ * config_.query_width()));
    feed_.resize(size(n_ * feed_width_));
    out_.resize(size(n_ * config_.hidden));
    std::int64_t longest = 0;
    for (const auto& line : lines_) longest = std::max(longest, line.past + line.count);
    lay_out();
    const auto widest = std::max({config_.hidden, config_.query_width(), config_.intermediate});
    const auto reduced = std::max<std::int64_t>(1, ranks_max());
    inputs_.resize(shares_inputs_ ? 1 : size(threads_));
    for (auto& one : inputs_) one.wide.resize(size(n_ * widest)), one.prepared.resize(size(n_) * prepared_bytes_max() / sizeof(Lane64));
    for (int i = 0; i < threads_; ++i)
      scratch_.push_back({std::vector<float>(size(config_.hidden)), std::vector<float>(size(n_ * (widest / row::kInt4Group + 1))), std::vector<float>(size(reduced)),
                          std::vector<float>(size(kThreadBlock)), std::vector<float>(size(longest))});
  }

  // residual [n, hidden] in fp32 goes in, fp32 logits [lines, vocabulary] come out, those after each sequence's last row; null: the
  // caches alone are wanted.
  void run(const float* embedded, float* logits) {
    std::copy_n(embedded, residual_.size(), residual_.begin());
#pragma omp parallel num_threads(threads_)
    {
      Worker worker{*this, omp_get_thread_num(), omp_get_num_threads()};
      worker.run(logits);
    }
    if (failure_) std::rethrow_exception(failure_);
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

  // Which sequence each row is of, and the tiles of those that attend in tiles.
  void lay_out() {
    line_of_.clear(), tiles_.clear();
    for (std::int64_t i = 0; i < std::ssize(lines_); ++i) {
      const auto& line = lines_[size(i)];
      line_of_.resize(size(line.first + line.count), i);
      for (std::int64_t at = 0; line.in_tiles && at < line.count; at += kTileRows) tiles_.push_back({i, line.first + at, line.first + std::min(at + kTileRows, line.count)});
    }
  }

  // Only the last row of each sequence goes on.
  void keep_last_rows() {
    const auto hidden = config_.hidden, width = config_.query_width() + 2 * config_.key_width();
    for (std::int64_t i = 0; i < std::ssize(lines_); ++i) {
      auto& line = lines_[size(i)];
      const auto last = line.first + line.count - 1;
      std::copy_n(residual_.data() + last * hidden, hidden, residual_.data() + i * hidden);
      std::copy_n(qkv_.data() + last * width, width, qkv_.data() + i * width);
      line.past += line.count - 1;
      line.first = i, line.count = 1, line.in_tiles = false;
    }
    n_ = std::ssize(lines_);
    lay_out();
  }

  struct RowsOfTile {
    std::int64_t line, begin, end;
  };
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

  const Line<T>& line(std::int64_t r) const { return lines_[size(line_of_[size(r)])]; }

  // What one thread does; all do the same in step.
  struct Worker {
    RowDecoder& all;
    const int thread, threads;
    Scratch& mine = all.scratch_[static_cast<std::size_t>(thread)];

    // A thread that threw would end the process, and one that left would be waited for: there may be no memory left for what it
    // needs. That is kept until all have met for the last time; until then its part is wrong.
    template <class Work>
    void keeping_failure(Work work) {
      try {
        work();
      } catch (...) {
        const std::lock_guard lock(all.failing_);
        if (!all.failure_) all.failure_ = std::current_exception();
      }
    }

    static void meet() {
#pragma omp barrier
    }

    // This thread's part of `total` outputs.
    std::pair<std::int64_t, std::int64_t> share(std::int64_t total) const {
      const auto blocks = (total + kThreadBlock - 1) / kThreadBlock;
      return {std::min(total, blocks * thread / threads * kThreadBlock), std::min(total, blocks * (thread + 1) / threads * kThreadBlock)};
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

    // This thread's outputs of a product without bias, for all rows: out [n, outputs].
    void multiply(const Matrix<T>& matrix, const Input& x, float* out) {
      const auto [begin, end] = share(matrix.outputs);
      if (matrix.packed) keeping_failure([&, begin = begin, end = end] { matrix.packed->multiply(x.prepared, all.n_, begin, end, out + begin, matrix.outputs); });
      else multiply_rows(matrix, x.wide, begin, end, out);
    }

    void multiply_rows(const Matrix<T>& matrix, const float* x, std::int64_t begin, std::int64_t end, float* out) {
      const auto groups = matrix.inputs / row::kInt4Group + 1;
      if (matrix.quantised)
        for (std::int64_t r = 0; r < all.n_; ++r) row::sum_groups(x + r * matrix.inputs, matrix.inputs, mine.sums.data() + r * groups);
      for (auto at = begin; at < end; at += kThreadBlock)
        for (std::int64_t r = 0; r < all.n_; ++r)
          matrix.multiply_row(x + r * matrix.inputs, mine.sums.data() + r * groups, at, std::min(at + kThreadBlock, end), out + r * matrix.outputs + at);
    }

    void add_adapters(std::int64_t layer, Product product, const Matrix<T>& matrix, const float* x, float* out) {
      const auto [begin, end] = share(matrix.outputs);
      for (std::int64_t r = 0; r < all.n_; ++r) {
        const auto* pair = pair_of(all.line(r).lora, layer, product);
        if (!pair) continue;
        float* row = out + r * matrix.outputs;
        const auto ranks = pair->a.size(0);
        row::multiply_rows(x + r * matrix.inputs, pair->a.template const_data_ptr<T>(), matrix.inputs, ranks, mine.reduced.data());
        for (auto at = begin; at < end; at += kThreadBlock) {
          const auto count = std::min(kThreadBlock, end - at);
          row::multiply_rows(mine.reduced.data(), pair->b.template const_data_ptr<T>() + at * ranks, ranks, count, mine.block.data());
          for (std::int64_t i = 0; i < count; ++i) row[at + i] += mine.block[size(i)];
        }
        if (!pair->row_scale.defined()) continue;
        const float* scale = pair->row_scale.template const_data_ptr<float>();
        for (auto i = begin; i < end; ++i) row[i] *= scale[i];
      }
    }

    void add_bias(const Matrix<T>& matrix, float* out) {
      const auto [begin, end] = share(matrix.outputs);
      for (std::int64_t r = 0; matrix.bias && r < all.n_; ++r)
        for (auto i = begin; i < end; ++i) out[r * matrix.outputs + i] += static_cast<float>(matrix.bias[i]);
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
      add_bias(matrix, out);
    }

    T* head_of(T* all_heads, const Line<T>& line, std::int64_t index, std::int64_t head) const {
      return all_heads + (index * all.config_.key_heads + head) * line.capacity * all.config_.head_size;
    }
    std::int64_t qkv_width() const { return all.config_.query_width() + 2 * all.config_.key_width(); }
    float* query_of(std::int64_t r, std::int64_t head) const { return all.qkv_.data() + r * qkv_width() + head * all.config_.query_group() * all.config_.head_size; }
    float* attended_of(std::int64_t r, std::int64_t head) const { return all.attended_.data() + r * all.config_.query_width() + head * all.config_.query_group() * all.config_.head_size; }

    // A row's key head, its value and its query heads as they meet others; key and value go into the cache.
    void prepare_heads(const AttentionLayer& layer, std::int64_t index, std::int64_t r, std::int64_t head) {
      const auto& line = all.line(r);
      const auto& config = all.config_;
      const auto d = config.head_size, position = line.seen(r) - 1;
      const bool in_window = layer.scoring.window > 0 && config.window_rope;
      const Angles& angles = in_window ? line.window_angles : line.angles;
      float *query = query_of(r, head), *key = all.qkv_.data() + r * qkv_width() + config.query_width() + head * d;
      prepare_head(layer, layer.key_norm, angles, position, key);
      row::store(key, head_of(line.keys, line, index, head) + position * d, d);
      row::store(key + config.key_width(), head_of(line.values, line, index, head) + position * d, d);
      for (std::int64_t j = 0; j < config.query_group(); ++j) prepare_head(layer, layer.query_norm, angles, position, query + j * d);
    }

    void attend_row(const AttentionLayer& layer, std::int64_t index, std::int64_t r, std::int64_t head) {
      const auto& line = all.line(r);
      const auto d = all.config_.head_size, seen = line.seen(r), first = layer.scoring.first(seen);
      const T *keys = head_of(line.keys, line, index, head), *values = head_of(line.values, line, index, head);
      for (std::int64_t j = 0; j < all.config_.query_group(); ++j)
        RowAttention<T>{layer}.attend_wide(query_of(r, head) + j * d, keys + first * d, values + first * d, seen - first, mine.scores.data(), attended_of(r, head) + j * d);
    }

    void attend_tile(const AttentionLayer& layer, std::int64_t index, const RowsOfTile& rows, std::int64_t head) {
      const auto& line = all.lines_[size(rows.line)];
      const auto d = all.config_.head_size, end = line.seen(rows.end - 1), first = layer.scoring.first(line.seen(rows.begin));
      const auto of_cache = [&](T* heads) { return HeadPieces<T>{HeadRows<const T>{}, HeadRows<const T>{head_of(heads, line, index, head), d, end}}; };
      HeadAttention<T> attention(of_cache(line.keys), of_cache(line.values), d, first, end, layer.scoring);
      constexpr auto kRows = HeadAttention<T>::kTileRows;
      Tile tile(kRows, d), attended(kRows, d);
      for (std::int64_t j = 0; j < all.config_.query_group(); ++j)
        for (auto at = rows.begin; at < rows.end; at += kRows) {
          const auto count = std::min(kRows, rows.end - at);
          tile.load(HeadRows<const float>{query_of(at, head) + j * d, qkv_width(), count}, 0, count);
          attention.attend(tile, count, line.seen(at), attended);
          for (std::int64_t r = 0; r < count; ++r) std::copy_n(attended.row(r), d, attended_of(at + r, head) + j * d);
        }
    }

    // All rows' keys lie in the caches before the first of a tile is looked at. `last`: of each sequence only the last row goes on.
    void attend(const AttentionLayer& layer, std::int64_t index, bool last) {
      const auto heads = all.config_.key_heads;
      const auto shared_out = [&](std::int64_t rows, auto what) {
        for (auto i = rows * heads * thread / threads; i < rows * heads * (thread + 1) / threads; ++i) what(i / heads, i % heads);
      };
      shared_out(all.n_, [&](std::int64_t r, std::int64_t head) {
        prepare_heads(layer, index, r, head);
        if (!all.line(r).in_tiles) attend_row(layer, index, r, head);
      });
      if (all.tiles_.empty()) return;
      meet();
      if (last) {
        if (thread == 0) all.keep_last_rows();
        meet();
        return shared_out(all.n_, [&](std::int64_t r, std::int64_t head) { attend_row(layer, index, r, head); });
      }
      // In turns, for later tiles see more keys.
      for (std::int64_t i = thread; i < std::ssize(all.tiles_) * heads; i += threads) keeping_failure([&] { attend_tile(layer, index, all.tiles_[size(i / heads)], i % heads); });
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

    void layer(std::int64_t index, bool wanted) {
      const auto& config = all.config_;
      const auto& weights = all.model_.weights().layers[size(index)];
      const auto attention = all.model_.attention_of(index);
      project(index, kAttentionIn, [&](const auto& matrix) { return normed(matrix, weights.attention_norm); }, all.qkv_.data());
      meet();
      attend(attention, index, index + 1 == config.layers);
      if (!wanted) return;
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
      for (std::int64_t index = 0; index < config.layers; ++index) layer(index, logits != nullptr || index + 1 < config.layers);
      if (logits == nullptr) return;
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
  std::vector<std::int64_t> line_of_;  // by row
  std::vector<RowsOfTile> tiles_;
  std::int64_t n_;  // rows
  const int threads_;
  const bool shares_inputs_;
  std::int64_t feed_width_ = 0;
  std::vector<float> residual_, qkv_, attended_, feed_, out_;
  std::vector<InputStore> inputs_;  // one, or one a thread
  std::vector<Scratch> scratch_;
  std::mutex failing_;
  std::exception_ptr failure_;  // the first of any thread
};

}  // namespace

at::Tensor CausalModel::compute_rows(std::span<const NewTokens> pieces, Wanted wanted) const {
  std::vector<std::int64_t> ids, places;
  for (const auto& piece : pieces)
    for (std::size_t i = 0; i < piece.tokens.size(); ++i) {
      ids.push_back(piece.tokens[i]);
      places.push_back(piece.cache->length_ + static_cast<std::int64_t>(i));
    }
  const auto x = embed(at::tensor(ids, at::kLong), at::tensor(places, at::kLong)).to(at::kFloat);
  auto logits = at::empty({wanted == Wanted::logits ? std::ssize(pieces) : 0, config_.vocabulary}, at::kFloat);
  with_type_of(weights_.embedding, [&](auto type) {
    using T = decltype(type);
    std::vector<Line<T>> lines;
    std::int64_t first = 0;
    for (const auto& piece : pieces) {
      auto& cache = *piece.cache;
      lines.push_back({cache.keys_.template mutable_data_ptr<T>(), cache.values_.template mutable_data_ptr<T>(), cache.capacity_, cache.length_,
                       rotary_.angles(piece.length, cache.length_), window_rotary_.angles(piece.length, cache.length_), piece.lora, first, std::ssize(piece.tokens), piece.is_prompt});
      first += std::ssize(piece.tokens);
    }
    RowDecoder<T>(*this, std::move(lines)).run(x.template const_data_ptr<float>(), wanted == Wanted::logits ? logits.template mutable_data_ptr<float>() : nullptr);
  });
  for (const auto& piece : pieces) {
    piece.cache->length_ += std::ssize(piece.tokens);
    piece.cache->tokens_.insert(piece.cache->tokens_.end(), piece.tokens.begin(), piece.tokens.end());
  }
  return logits;
}

}  // namespace redoubt::engine::model
