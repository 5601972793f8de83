// SPDX-License-Identifier: Apache-2.0
#include "engine/model/attention.h"

#include <algorithm>

#include "engine/model/layer_math.h"

namespace redoubt::engine::model {
namespace {

// Between the packed rows and one group's padded, head-major tensors.
template <class T>
class GroupLayout {
 public:
  GroupLayout(const AttentionLayer& layer, const SegmentGroup& group)
      : layer_(layer), group_(group), d_(layer.config.head_size), l_(group.longest) {}

  // Calls f(segment, key head, index of the pair) for each of them, in parallel.
  template <class F>
  void for_each(F f) const {
    const std::int64_t heads = layer_.config.key_heads;
    at::parallel_for(0, std::ssize(group_.segments) * heads, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) f(group_.segments[static_cast<std::size_t>(i / heads)], i % heads, i);
    });
  }

  // Copies a head of rows `width` apart into a padded block; the padding is zero.
  void take(const T* from, std::int64_t width, std::int64_t length, T* to) const {
    for (std::int64_t p = 0; p < length; ++p) std::copy_n(from + p * width, d_, to + p * d_);
    std::fill(to + length * d_, to + l_ * d_, T(0.0f));
  }
  void take_prepared(const T* from, std::int64_t width, std::int64_t length, const Norm& norm, const Angles& angles,
                     T* to) const {
    std::vector<float> wide(static_cast<std::size_t>(d_));
    for (std::int64_t p = 0; p < length; ++p) {
      row::load(from + p * width, wide.data(), d_);
      prepare_head(layer_, norm, angles, p, wide.data());
      row::store(wide.data(), to + p * d_, d_);
    }
    std::fill(to + length * d_, to + l_ * d_, T(0.0f));
  }
  void give(const T* from, T* to, std::int64_t width, std::int64_t length) const {
    for (std::int64_t p = 0; p < length; ++p) std::copy_n(from + p * d_, d_, to + p * width);
  }
  // The gradient of prepared heads becomes that of the rows they were, which begin at `raw` (read only where normed).
  void give_prepared(const T* from, const T* raw, T* to, std::int64_t width, std::int64_t length, const Norm& norm,
                     const Angles& angles) const {
    std::vector<float> buffer(static_cast<std::size_t>(3 * d_));
    float *wide = buffer.data(), *was = wide + d_, *gradient = was + d_;
    for (std::int64_t p = 0; p < length; ++p) {
      row::load(from + p * d_, wide, d_);
      row::rotate(wide, angles.cosine(p), angles.sine(p), -1, angles.half());
      if (norm.defined()) {
        row::load(raw + p * width, was, d_);
        std::fill_n(gradient, d_, 0.0f);
        row::rms_norm_backward(was, norm.weight.const_data_ptr<float>(), static_cast<float>(layer_.config.norm_epsilon),
                               wide, gradient, d_);
      }
      row::store(norm.defined() ? gradient : wide, to + p * width, d_);
    }
  }

 private:
  const AttentionLayer& layer_;
  const SegmentGroup& group_;
  std::int64_t d_, l_;
};

at::Tensor padded(const Config& config, const SegmentGroup& group, std::int64_t heads_each, const at::Tensor& like) {
  return at::empty({std::ssize(group.segments) * config.key_heads, heads_each * group.longest, config.head_size},
                   like.options());
}

// By segment; a family may have other angles for each length.
std::vector<Angles> angles_of(const AttentionLayer& layer, const SegmentGroup& group) {
  std::vector<Angles> out;
  for (const auto& segment : group.segments) out.push_back(layer.rotary.angles(segment.length));
  return out;
}

template <class T>
void split_heads(const at::Tensor& qkv, const AttentionLayer& layer, const SegmentGroup& group, GroupState& into) {
  const Config& c = layer.config;
  const std::int64_t d = c.head_size, g = c.query_group(), l = group.longest, width = qkv.size(1);
  const T* from = qkv.const_data_ptr<T>();
  T *q = into.query.mutable_data_ptr<T>(), *k = into.key.mutable_data_ptr<T>(), *v = into.value.mutable_data_ptr<T>();
  GroupLayout<T> layout(layer, group);
  const auto turns = angles_of(layer, group);
  layout.for_each([&](const Segment& s, std::int64_t head, std::int64_t i) {
    const T* rows = from + s.begin * width;
    const auto& angles = turns[static_cast<std::size_t>(i / c.key_heads)];
    for (std::int64_t j = 0; j < g; ++j)
      layout.take_prepared(rows + (head * g + j) * d, width, s.length, layer.query_norm, angles, q + (i * g + j) * l * d);
    layout.take_prepared(rows + c.query_width() + head * d, width, s.length, layer.key_norm, angles, k + i * l * d);
    layout.take(rows + c.query_width() + c.key_width() + head * d, width, s.length, v + i * l * d);
  });
}

// `raw` is the qkv that came in, undefined where no head is normed.
template <class T>
void join_gradients(const GroupState& from, const at::Tensor& raw, const AttentionLayer& layer, const SegmentGroup& group,
                    at::Tensor& dqkv) {
  const Config& c = layer.config;
  const std::int64_t d = c.head_size, g = c.query_group(), l = group.longest, width = dqkv.size(1);
  const T *q = from.query.const_data_ptr<T>(), *k = from.key.const_data_ptr<T>(), *v = from.value.const_data_ptr<T>();
  T* to = dqkv.mutable_data_ptr<T>();
  const T* was = raw.defined() ? raw.const_data_ptr<T>() : to;
  GroupLayout<T> layout(layer, group);
  const auto turns = angles_of(layer, group);
  layout.for_each([&](const Segment& s, std::int64_t head, std::int64_t i) {
    const std::int64_t begin = s.begin * width, key = begin + c.query_width() + head * d;
    const auto& angles = turns[static_cast<std::size_t>(i / c.key_heads)];
    for (std::int64_t j = 0; j < g; ++j) {
      const std::int64_t query = begin + (head * g + j) * d;
      layout.give_prepared(q + (i * g + j) * l * d, was + query, to + query, width, s.length, layer.query_norm, angles);
    }
    layout.give_prepared(k + i * l * d, was + key, to + key, width, s.length, layer.key_norm, angles);
    layout.give(v + i * l * d, to + key + c.key_width(), width, s.length);
  });
}

// Moves a padded [n, g * l, d] result into packed rows of heads, or the other way.
template <class T>
void move_heads(at::Tensor& group_tensor, at::Tensor& rows_tensor, const AttentionLayer& layer, const SegmentGroup& group,
                bool to_rows) {
  const std::int64_t d = layer.config.head_size, g = layer.config.query_group(), l = group.longest,
                     width = rows_tensor.size(1);
  T *blocks = group_tensor.mutable_data_ptr<T>(), *rows = rows_tensor.mutable_data_ptr<T>();
  GroupLayout<T> layout(layer, group);
  layout.for_each([&](const Segment& s, std::int64_t head, std::int64_t i) {
    for (std::int64_t j = 0; j < g; ++j) {
      T *block = blocks + (i * g + j) * l * d, *row = rows + s.begin * width + (head * g + j) * d;
      if (to_rows)
        layout.give(block, row, width, s.length);
      else
        layout.take(row, width, s.length, block);
    }
  });
}

at::Tensor scores_of(const at::Tensor& query, const at::Tensor& keys) {
  return at::bmm(query.to(at::kFloat), keys.to(at::kFloat).transpose(1, 2));
}

// dscores = probabilities * (dprobabilities - their dot product) * scale, in place of dprobabilities. `scores` as scores_of
// answered them where they are capped, else undefined.
void softmax_backward(const at::Tensor& probabilities, const at::Tensor& scores, const Scoring& scoring,
                      std::int64_t new_rows, at::Tensor& gradient) {
  const std::int64_t keys = probabilities.size(2), rows = probabilities.size(0) * probabilities.size(1);
  float* capped = scores.defined() ? scores.mutable_data_ptr<float>() : nullptr;
  with_type_of(probabilities, [&](auto type) {
    using T = decltype(type);
    const T* p = probabilities.const_data_ptr<T>();
    T* dp = gradient.mutable_data_ptr<T>();
    at::parallel_for(0, rows, grain_of(keys), [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> buffer(static_cast<std::size_t>(2 * keys));
      float *a = buffer.data(), *b = a + keys;
      for (std::int64_t r = begin; r < end; ++r) {
        const std::int64_t seen = r % new_rows + 1, first = scoring.first(seen), count = seen - first;
        row::load(p + r * keys + first, a, count);
        row::load(dp + r * keys + first, b, count);
        const float along = row::dot(a, b, count);
        for (std::int64_t i = 0; i < count; ++i) b[i] = a[i] * (b[i] - along) * scoring.scale;
        if (capped) {
          row::soft_cap(capped + r * keys + first, scoring.scale, scoring.softcap, count);
          row::soft_cap_backward(capped + r * keys + first, scoring.softcap, b, count);
        }
        std::fill(dp + r * keys, dp + r * keys + first, T(0.0f));
        row::store(b, dp + r * keys + first, count);
        std::fill(dp + r * keys + seen, dp + (r + 1) * keys, T(0.0f));
      }
    });
  });
}

}  // namespace

std::vector<SegmentGroup> group_segments(std::span<const Segment> segments) {
  std::vector<Segment> sorted(segments.begin(), segments.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const Segment& a, const Segment& b) { return a.length > b.length; });
  std::vector<SegmentGroup> groups;
  for (const auto& segment : sorted) {
    // Padding to the longest may at most double the scores of the shortest.
    const bool joins = !groups.empty() && segment.length * 10 >= groups.back().longest * 7;
    if (!joins) groups.push_back({{}, segment.length});
    groups.back().segments.push_back(segment);
  }
  return groups;
}

void prepare_head(const AttentionLayer& layer, const Norm& norm, const Angles& angles, std::int64_t position, float* head) {
  if (norm.defined())
    row::rms_norm(head, norm.weight.const_data_ptr<float>(), static_cast<float>(layer.config.norm_epsilon), head,
                  layer.config.head_size);
  row::rotate(head, angles.cosine(position), angles.sine(position), 1, angles.half());
}

at::Tensor attention_probabilities(const at::Tensor& query, const at::Tensor& keys, std::int64_t new_rows,
                                   const Scoring& scoring) {
  const auto scores = scores_of(query, keys);
  const std::int64_t seen_max = scores.size(2), rows = scores.size(0) * scores.size(1), past = seen_max - new_rows;
  float* values = scores.mutable_data_ptr<float>();
  auto out = query.scalar_type() == at::kFloat ? scores : at::empty(scores.sizes(), query.options());
  with_type_of(out, [&](auto type) {
    using T = decltype(type);
    T* to = out.template mutable_data_ptr<T>();
    at::parallel_for(0, rows, grain_of(seen_max), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const std::int64_t seen = past + r % new_rows + 1, first = scoring.first(seen), count = seen - first;
        float* row = values + r * seen_max + first;
        if (scoring.softcap > 0) row::soft_cap(row, scoring.scale, scoring.softcap, count);
        row::softmax(row, scoring.softcap > 0 ? 1 : scoring.scale, count);
        std::fill(to + r * seen_max, to + r * seen_max + first, T(0.0f));
        row::store(row, to + r * seen_max + first, count);
        std::fill(to + r * seen_max + seen, to + (r + 1) * seen_max, T(0.0f));
      }
    });
  });
  return out;
}

at::Tensor attend(const at::Tensor& qkv, const AttentionLayer& layer, std::span<const SegmentGroup> groups,
                  AttentionState* keep) {
  const Config& config = layer.config;
  auto out = at::empty({qkv.size(0), config.query_width()}, qkv.options());
  for (const auto& group : groups) {
    GroupState state{
        padded(config, group, config.query_group(), qkv), padded(config, group, 1, qkv), padded(config, group, 1, qkv), {}};
    with_type_of(qkv, [&](auto type) { split_heads<decltype(type)>(qkv, layer, group, state); });
    state.probabilities = attention_probabilities(state.query, state.key, group.longest, layer.scoring);
    auto attended = at::bmm(state.probabilities, state.value);
    with_type_of(qkv, [&](auto type) { move_heads<decltype(type)>(attended, out, layer, group, true); });
    if (keep) keep->groups.push_back(std::move(state));
  }
  if (keep && (layer.query_norm.defined() || layer.key_norm.defined())) keep->qkv = qkv;
  return out;
}

at::Tensor attend_backward(const at::Tensor& dout, const AttentionLayer& layer, std::span<const SegmentGroup> groups,
                           AttentionState& state) {
  const Config& config = layer.config;
  auto dqkv = at::empty({dout.size(0), config.query_width() + 2 * config.key_width()}, dout.options());
  auto rows = dout;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    GroupState& s = state.groups[i];
    auto dattended = at::empty_like(s.query);
    with_type_of(dout, [&](auto type) { move_heads<decltype(type)>(dattended, rows, layer, groups[i], false); });
    auto dvalue = at::bmm(s.probabilities.transpose(1, 2), dattended);
    auto dscores = at::bmm(dattended, s.value.transpose(1, 2));
    const auto scores = layer.scoring.softcap > 0 ? scores_of(s.query, s.key) : at::Tensor();
    softmax_backward(s.probabilities, scores, layer.scoring, groups[i].longest, dscores);
    GroupState gradients{at::bmm(dscores, s.key), at::bmm(dscores.transpose(1, 2), s.query), std::move(dvalue), {}};
    with_type_of(dout, [&](auto type) { join_gradients<decltype(type)>(gradients, state.qkv, layer, groups[i], dqkv); });
    s = {};
  }
  return dqkv;
}

}  // namespace redoubt::engine::model
