// SPDX-License-Identifier: Apache-2.0
#include "engine/model/attention.h"

#include <map>
#include <type_traits>

#include "engine/model/half_attention.h"
#include "engine/model/layer_math.h"
#include "engine/model/tasks.h"

namespace redoubt::engine::model {
namespace {

// Queries that one task computes: fewer would read their keys too often, more would leave threads idle at the end.
constexpr std::int64_t kTaskRows = 128;
// On the way back each task has gradients of all its keys, so that a long sequence is cut into no more than these.
constexpr std::int64_t kBackwardTasks = 4;

// Some neighbouring rows of a segment, counted from its first.
struct Piece {
  std::size_t segment;
  std::int64_t begin, end;
};

std::int64_t backward_rows(const Segment& segment) { return std::max(kTaskRows, (segment.length + kBackwardTasks - 1) / kBackwardTasks); }
std::int64_t forward_rows(const Segment&) { return kTaskRows; }

template <class F>
std::vector<Piece> pieces_of(std::span<const Segment> segments, F rows_max) {
  std::vector<Piece> pieces;
  for (std::size_t s = 0; s < segments.size(); ++s)
    for (std::int64_t begin = 0, step = rows_max(segments[s]); begin < segments[s].length; begin += step)
      pieces.push_back({s, begin, std::min(begin + step, segments[s].length)});
  return pieces;
}

// Rows [rows, width] of query, key and value heads.
template <class T>
struct HeadsOfRows {
  const Config& config;
  T* rows;

  HeadsOfRows(const Config& c, const at::Tensor& qkv) : config(c), rows(qkv.mutable_data_ptr<T>()) {}
  std::int64_t width() const { return config.query_width() + 2 * config.key_width(); }
  HeadRows<T> query(const Segment& s, std::int64_t head) const { return at(s.begin, s.length, head * config.head_size); }
  HeadRows<T> key(const Segment& s, std::int64_t head) const { return at(s.begin, s.length, config.query_width() + head * config.head_size); }
  HeadRows<T> value(const Segment& s, std::int64_t head) const {
    return at(s.begin, s.length, config.query_width() + config.key_width() + head * config.head_size);
  }
  HeadRows<T> at(std::int64_t row, std::int64_t count, std::int64_t column) const { return {rows + row * width() + column, width(), count}; }

  // Those of the segment's stem, and its own.
  HeadPieces<T> keys_of_sequence(const Segment& s, std::int64_t head) const { return pieces(s, key(s, head)); }
  HeadPieces<T> values_of_sequence(const Segment& s, std::int64_t head) const { return pieces(s, value(s, head)); }

 private:
  HeadPieces<T> pieces(const Segment& s, const HeadRows<T>& own) const {
    return {HeadRows<const T>{own.first + (s.stem - s.begin) * width(), width(), s.past}, HeadRows<const T>{own.first, own.stride, own.count}};
  }
};

// Rows of no segment have no part in anything: zero, so that they are nothing in sums over rows as well.
void clear_rest(std::span<const Segment> segments, at::Tensor& rows) {
  std::int64_t end = 0;
  for (const auto& s : segments) end = std::max(end, s.begin + s.length);
  rows.narrow(0, end, rows.size(0) - end).zero_();
}

// By segment; a family may have other angles for each length.
std::vector<Angles> angles_of(const AttentionLayer& layer, std::span<const Segment> segments) {
  std::vector<Angles> out;
  for (const auto& segment : segments) out.push_back(layer.rotary.angles(segment.past + segment.length));
  return out;
}

template <class T>
void prepare_rows(const HeadsOfRows<T>& heads, const AttentionLayer& layer, std::span<const Segment> segments) {
  const std::int64_t d = layer.config.head_size;
  const auto turns = angles_of(layer, segments);
  const auto pieces = pieces_of(segments, [&](const Segment&) { return 32; });
  for_each_task(std::ssize(pieces), [&](std::int64_t i) {
    const auto& [index, begin, end] = pieces[static_cast<std::size_t>(i)];
    const Segment& s = segments[index];
    std::vector<float> wide(static_cast<std::size_t>(d));
    const auto prepare = [&](const HeadRows<T>& rows, const Norm& norm) {
      for (std::int64_t r = begin; r < end; ++r) {
        row::load(rows.row(r), wide.data(), d);
        prepare_head(layer, norm, turns[index], s.past + r, wide.data());
        row::store(wide.data(), rows.row(r), d);
      }
    };
    for (std::int64_t head = 0; head < layer.config.heads; ++head) prepare(heads.query(s, head), layer.query_norm);
    for (std::int64_t head = 0; head < layer.config.key_heads; ++head) prepare(heads.key(s, head), layer.key_norm);
  });
}

// Heads of any type, as fp32 tiles.
template <class T>
class TileAttention {
 public:
  static constexpr std::int64_t kTileRows = HeadAttention<T>::kTileRows;
  static std::int64_t width(std::int64_t d) { return row::padded(d); }

  TileAttention(const HeadPieces<T>& keys, const HeadPieces<T>& values, std::int64_t d, std::int64_t first, std::int64_t end, const Scoring& scoring)
      : head_(keys, values, d, first, end, scoring), query_(kTileRows, d), other_(kTileRows, d), dquery_(kTileRows, d) {}

  void attend(const HeadRows<T>& query, std::int64_t begin, std::int64_t count, std::int64_t seen, const HeadRows<T>& out) {
    query_.load(query, begin, begin + count);
    head_.attend(query_, count, seen, other_);
    for (std::int64_t r = 0; r < count; ++r) row::store(other_.row(r), out.row(begin + r), query_.d());
  }
  void gather_gradients(float* dkeys, float* dvalues) { head_.gather_gradients(dkeys, dvalues); }
  void attend_backward(const HeadRows<T>& query, const HeadRows<T>& dout, std::int64_t begin, std::int64_t count, std::int64_t seen, float* dquery) {
    query_.load(query, begin, begin + count);
    other_.load(dout, begin, begin + count);
    head_.attend_backward(query_, other_, count, seen, dquery_);
    std::copy_n(dquery_.row(0), count * dquery_.width(), dquery);
  }

 private:
  HeadAttention<T> head_;
  Tile query_, other_, dquery_;
};

// Calls f with the best way for heads of d values.
template <class T, class F>
void with_attention_of(std::int64_t d, F f) {
  if constexpr (std::is_same_v<T, row::bf16>)
    if (HalfAttention::can_take(d)) return f(std::type_identity<HalfAttention>());
  f(std::type_identity<TileAttention<T>>());
}

// The queries `begin` to `end` - 1 of a sequence that sees `past` keys before its first; out has a row for each query.
template <class T, class Attention>
void attend_rows(Attention& keys, const HeadRows<T>& query, const HeadRows<T>& out, std::int64_t begin, std::int64_t end, std::int64_t past) {
  for (; begin < end; begin += Attention::kTileRows) keys.attend(query, begin, std::min(Attention::kTileRows, end - begin), past + begin + 1, out);
}

// The gradient of prepared heads becomes that of the rows they were, which begin at `raw` (read only where normed).
template <class T>
class GradientOfRaw {
 public:
  GradientOfRaw(const AttentionLayer& layer, const Norm& norm)
      : norm_(norm), d_(layer.config.head_size), epsilon_(static_cast<float>(layer.config.norm_epsilon)),
        buffer_(static_cast<std::size_t>(2 * d_)) {}
  void operator()(float* gradient, const Angles& angles, std::int64_t position, const T* raw, T* to) {
    row::rotate(gradient, angles.cosine(position), angles.sine(position), -1, angles.half());
    if (!norm_.defined()) return row::store(gradient, to, d_);
    float *was = buffer_.data(), *out = was + d_;
    row::load(raw, was, d_);
    std::fill_n(out, d_, 0.0f);
    row::rms_norm_backward(was, norm_.weight.const_data_ptr<float>(), epsilon_, gradient, out, d_);
    row::store(out, to, d_);
  }

 private:
  const Norm& norm_;
  const std::int64_t d_;
  const float epsilon_;
  std::vector<float> buffer_;
};

// The way back of one layer. A task has the queries of a piece and of the heads that share a key head; it writes their gradient, and keeps
// what it has for each of their keys and values until all that meet these are done.
template <class T, class Attention>
class Backward {
 public:
  Backward(const AttentionLayer& layer, std::span<const Segment> segments, const AttentionState& state, const at::Tensor& dout, at::Tensor& dqkv)
      : layer_(layer), config_(layer.config), segments_(segments), turns_(angles_of(layer, segments)), heads_(config_, state.prepared),
        raw_(config_, layer.norms_heads() ? state.qkv : state.prepared), gradient_(config_, dqkv), dout_(dout.mutable_data_ptr<T>()),
        pieces_(pieces_of(segments, backward_rows)) {
    std::int64_t size = 0;
    for (const auto& piece : pieces_) {
      places_.push_back(size);
      size += 2 * keys_of(piece) * width() * config_.key_heads;
    }
    parts_ = floats(size);
  }

  void run() {
    for_each_task(std::ssize(pieces_) * config_.key_heads, [&](std::int64_t i) {
      queries(static_cast<std::size_t>(i / config_.key_heads), i % config_.key_heads);
    });
    find_meetings();
    const auto pieces = pieces_of(segments_, forward_rows);
    for_each_task(std::ssize(pieces) * config_.key_heads, [&](std::int64_t i) {
      keys_and_values(pieces[static_cast<std::size_t>(i / config_.key_heads)], i % config_.key_heads);
    });
  }

 private:
  std::int64_t width() const { return Attention::width(config_.head_size); }
  std::int64_t first_key(const Piece& piece) const { return layer_.scoring.first(segments_[piece.segment].past + piece.begin + 1); }
  std::int64_t keys_of(const Piece& piece) const { return segments_[piece.segment].past + piece.end - first_key(piece); }
  // Gradients of the keys that a piece's task met, from its first on; those of the values lie behind them.
  float* part_of(std::size_t piece, std::int64_t head) const {
    return parts_.get() + places_[piece] + 2 * keys_of(pieces_[piece]) * width() * head;
  }

  void queries(std::size_t index, std::int64_t head) {
    constexpr std::int64_t kRows = Attention::kTileRows;
    const Piece& piece = pieces_[index];
    const Segment& s = segments_[piece.segment];
    const std::int64_t d = config_.head_size, g = config_.query_group(), keys = keys_of(piece);
    Attention attention(heads_.keys_of_sequence(s, head), heads_.values_of_sequence(s, head), d, first_key(piece), s.past + piece.end, layer_.scoring);
    float* part = part_of(index, head);
    std::fill_n(part, 2 * keys * width(), 0.0f);
    attention.gather_gradients(part, part + keys * width());
    const auto dquery = floats(kRows * width());
    GradientOfRaw<T> give(layer_, layer_.query_norm);
    for (std::int64_t j = head * g; j < (head + 1) * g; ++j)
      for (std::int64_t begin = piece.begin; begin < piece.end; begin += kRows) {
        const std::int64_t rows = std::min(kRows, piece.end - begin);
        const HeadRows<T> dout{dout_ + s.begin * config_.query_width() + j * d, config_.query_width(), s.length};
        attention.attend_backward(heads_.query(s, j), dout, begin, rows, s.past + begin + 1, dquery.get());
        for (std::int64_t r = 0; r < rows; ++r)
          give(dquery.get() + r * width(), turns_[piece.segment], s.past + begin + r, raw_.query(s, j).row(begin + r), gradient_.query(s, j).row(begin + r));
      }
  }

  // Which tasks met the keys of each segment, and where in their sequence its first row stands.
  struct Meeting {
    std::size_t piece;
    std::int64_t at;
  };
  void find_meetings() {
    std::map<std::int64_t, std::size_t> by_begin;
    for (std::size_t s = 0; s < segments_.size(); ++s) by_begin[segments_[s].begin] = s;
    meetings_.resize(segments_.size());
    for (std::size_t p = 0; p < pieces_.size(); ++p) {
      const Segment& s = segments_[pieces_[p].segment];
      meetings_[pieces_[p].segment].push_back({p, s.past});
      if (s.past > 0) meetings_[by_begin.at(s.stem)].push_back({p, 0});
    }
  }

  void keys_and_values(const Piece& rows, std::int64_t head) {
    const Segment& s = segments_[rows.segment];
    const std::int64_t d = config_.head_size;
    Tile dkey(1, d), dvalue(1, d);
    GradientOfRaw<T> give(layer_, layer_.key_norm);
    for (std::int64_t r = rows.begin; r < rows.end; ++r) {
      std::fill_n(dkey.row(0), d, 0.0f);
      std::fill_n(dvalue.row(0), d, 0.0f);
      for (const auto& meeting : meetings_[rows.segment]) {
        const Piece& piece = pieces_[meeting.piece];
        const std::int64_t key = meeting.at + r - first_key(piece), keys = keys_of(piece);
        if (key < 0 || key >= keys) continue;
        const float* part = part_of(meeting.piece, head) + key * width();
        row::add_scaled(dkey.row(0), 1, part, d);
        row::add_scaled(dvalue.row(0), 1, part + keys * width(), d);
      }
      give(dkey.row(0), turns_[rows.segment], s.past + r, raw_.key(s, head).row(r), gradient_.key(s, head).row(r));
      row::store(dvalue.row(0), gradient_.value(s, head).row(r), d);
    }
  }

  const AttentionLayer& layer_;
  const Config& config_;
  const std::span<const Segment> segments_;
  const std::vector<Angles> turns_;
  const HeadsOfRows<T> heads_, raw_, gradient_;
  T* const dout_;
  const std::vector<Piece> pieces_;
  std::vector<std::int64_t> places_;
  std::unique_ptr<float[]> parts_;
  std::vector<std::vector<Meeting>> meetings_;  // by segment
};

}  // namespace

void prepare_head(const AttentionLayer& layer, const Norm& norm, const Angles& angles, std::int64_t position, float* head) {
  if (norm.defined())
    row::rms_norm(head, norm.weight.const_data_ptr<float>(), static_cast<float>(layer.config.norm_epsilon), head,
                  layer.config.head_size);
  row::rotate(head, angles.cosine(position), angles.sine(position), 1, angles.half());
}

at::Tensor attend(at::Tensor qkv, const AttentionLayer& layer, std::span<const Segment> segments, AttentionState* keep) {
  const Config& c = layer.config;
  const std::int64_t d = c.head_size, g = c.query_group();
  auto out = at::empty({qkv.size(0), c.query_width()}, qkv.options());
  clear_rest(segments, out);
  if (keep && layer.norms_heads()) keep->qkv = qkv.clone();
  with_type_of(qkv, [&](auto type) {
    using T = decltype(type);
    const HeadsOfRows<T> heads(c, qkv);
    T* to = out.template mutable_data_ptr<T>();
    prepare_rows(heads, layer, segments);
    const auto pieces = pieces_of(segments, forward_rows);
    with_attention_of<T>(d, [&](auto kind) {
      for_each_task(std::ssize(pieces) * c.key_heads, [&](std::int64_t i) {
        const auto& [index, begin, end] = pieces[static_cast<std::size_t>(i / c.key_heads)];
        const Segment& s = segments[index];
        const std::int64_t head = i % c.key_heads;
        typename decltype(kind)::type keys(heads.keys_of_sequence(s, head), heads.values_of_sequence(s, head), d, layer.scoring.first(s.past + begin + 1), s.past + end,
                                           layer.scoring);
        for (std::int64_t j = head * g; j < (head + 1) * g; ++j)
          attend_rows(keys, heads.query(s, j), HeadRows<T>{to + s.begin * c.query_width() + j * d, c.query_width(), s.length}, begin, end, s.past);
      });
    });
  });
  if (keep) keep->prepared = std::move(qkv);
  return out;
}

at::Tensor attend_backward(const at::Tensor& dout, const AttentionLayer& layer, std::span<const Segment> segments, AttentionState& state) {
  auto dqkv = at::empty_like(state.prepared);
  clear_rest(segments, dqkv);
  with_type_of(dout, [&](auto type) {
    using T = decltype(type);
    with_attention_of<T>(layer.config.head_size, [&](auto kind) { Backward<T, typename decltype(kind)::type>(layer, segments, state, dout, dqkv).run(); });
  });
  state = {};
  return dqkv;
}

at::Tensor attend_cached(const at::Tensor& prepared, const at::Tensor& keys, const at::Tensor& values, std::int64_t seen, const AttentionLayer& layer) {
  const Config& c = layer.config;
  const std::int64_t n = prepared.size(0), d = c.head_size, g = c.query_group(), tasks = (n + kTaskRows - 1) / kTaskRows;
  auto out = at::empty({n, c.query_width()}, prepared.options());
  with_type_of(prepared, [&](auto type) {
    using T = decltype(type);
    const HeadsOfRows<T> heads(c, prepared);
    T* to = out.template mutable_data_ptr<T>();
    const Segment rows{0, n};
    for_each_task(tasks * c.key_heads, [&](std::int64_t i) {
      const std::int64_t head = i % c.key_heads, begin = i / c.key_heads * kTaskRows, end = std::min(begin + kTaskRows, n);
      const auto of_cache = [&](const at::Tensor& all) {
        return HeadPieces<T>{HeadRows<const T>{}, HeadRows<const T>{all.const_data_ptr<T>() + head * all.stride(0), d, seen + n - 1}};
      };
      TileAttention<T> attention(of_cache(keys), of_cache(values), d, layer.scoring.first(seen + begin), seen + end - 1, layer.scoring);
      for (std::int64_t j = head * g; j < (head + 1) * g; ++j)
        attend_rows(attention, heads.query(rows, j), HeadRows<T>{to + j * d, c.query_width(), n}, begin, end, seen - 1);
    });
  });
  return out;
}

}  // namespace redoubt::engine::model
