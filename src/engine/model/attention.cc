// SPDX-License-Identifier: Apache-2.0
#include "engine/model/attention.h"

#include <algorithm>
#include <cmath>

#include "engine/model/layer_math.h"

namespace redoubt::engine::model {
namespace {

// Between the packed rows and one group's padded, head-major tensors.
template <class T>
class GroupLayout {
 public:
  GroupLayout(const Config& config, const RotaryTable& rotary, const SegmentGroup& group)
      : config_(config), rotary_(rotary), group_(group), d_(config.head_size), l_(group.longest) {}

  // Calls f(segment, key head, index of the pair) for each of them, in parallel.
  template <class F>
  void for_each(F f) const {
    const std::int64_t heads = config_.key_heads;
    at::parallel_for(0, std::ssize(group_.segments) * heads, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) f(group_.segments[static_cast<std::size_t>(i / heads)], i % heads, i);
    });
  }

  // Copies rows `width` apart into a padded block, turning each; the padding is zero.
  void take(const T* from, std::int64_t width, std::int64_t length, float direction, T* to) const {
    std::vector<float> wide(static_cast<std::size_t>(d_));
    for (std::int64_t p = 0; p < length; ++p) move(from + p * width, to + p * d_, p, direction, wide.data());
    std::fill(to + length * d_, to + l_ * d_, T(0.0f));
  }
  void give(const T* from, T* to, std::int64_t width, std::int64_t length, float direction) const {
    std::vector<float> wide(static_cast<std::size_t>(d_));
    for (std::int64_t p = 0; p < length; ++p) move(from + p * d_, to + p * width, p, direction, wide.data());
  }

 private:
  void move(const T* from, T* to, std::int64_t position, float direction, float* wide) const {
    if (direction == 0) {
      std::copy_n(from, d_, to);
      return;
    }
    row::load(from, wide, d_);
    row::rotate(wide, rotary_.cosine(position), rotary_.sine(position), direction, d_ / 2);
    row::store(wide, to, d_);
  }

  const Config& config_;
  const RotaryTable& rotary_;
  const SegmentGroup& group_;
  std::int64_t d_, l_;
};

at::Tensor padded(const Config& config, const SegmentGroup& group, std::int64_t heads_each, const at::Tensor& like) {
  return at::empty({std::ssize(group.segments) * config.key_heads, heads_each * group.longest, config.head_size},
                   like.options());
}

template <class T>
void split_heads(const at::Tensor& qkv, const Config& c, const RotaryTable& rotary, const SegmentGroup& group,
                 GroupState& into) {
  const std::int64_t d = c.head_size, g = c.query_group(), l = group.longest, width = qkv.size(1);
  const T* from = qkv.const_data_ptr<T>();
  T *q = into.query.mutable_data_ptr<T>(), *k = into.key.mutable_data_ptr<T>(), *v = into.value.mutable_data_ptr<T>();
  GroupLayout<T> layout(c, rotary, group);
  layout.for_each([&](const Segment& s, std::int64_t head, std::int64_t i) {
    const T* rows = from + s.begin * width;
    for (std::int64_t j = 0; j < g; ++j) layout.take(rows + (head * g + j) * d, width, s.length, 1, q + (i * g + j) * l * d);
    layout.take(rows + c.query_width() + head * d, width, s.length, 1, k + i * l * d);
    layout.take(rows + c.query_width() + c.key_width() + head * d, width, s.length, 0, v + i * l * d);
  });
}

template <class T>
void join_gradients(const GroupState& from, const Config& c, const RotaryTable& rotary, const SegmentGroup& group,
                    at::Tensor& dqkv) {
  const std::int64_t d = c.head_size, g = c.query_group(), l = group.longest, width = dqkv.size(1);
  const T *q = from.query.const_data_ptr<T>(), *k = from.key.const_data_ptr<T>(), *v = from.value.const_data_ptr<T>();
  T* to = dqkv.mutable_data_ptr<T>();
  GroupLayout<T> layout(c, rotary, group);
  layout.for_each([&](const Segment& s, std::int64_t head, std::int64_t i) {
    T* rows = to + s.begin * width;
    for (std::int64_t j = 0; j < g; ++j)
      layout.give(q + (i * g + j) * l * d, rows + (head * g + j) * d, width, s.length, -1);
    layout.give(k + i * l * d, rows + c.query_width() + head * d, width, s.length, -1);
    layout.give(v + i * l * d, rows + c.query_width() + c.key_width() + head * d, width, s.length, 0);
  });
}

// Moves a padded [n, g * l, d] result into packed rows of heads, or the other way.
template <class T>
void move_heads(at::Tensor& group_tensor, at::Tensor& rows_tensor, const Config& c, const RotaryTable& rotary,
                const SegmentGroup& group, bool to_rows) {
  const std::int64_t d = c.head_size, g = c.query_group(), l = group.longest, width = rows_tensor.size(1);
  T *blocks = group_tensor.mutable_data_ptr<T>(), *rows = rows_tensor.mutable_data_ptr<T>();
  GroupLayout<T> layout(c, rotary, group);
  layout.for_each([&](const Segment& s, std::int64_t head, std::int64_t i) {
    for (std::int64_t j = 0; j < g; ++j) {
      T *block = blocks + (i * g + j) * l * d, *row = rows + s.begin * width + (head * g + j) * d;
      if (to_rows)
        layout.give(block, row, width, s.length, 0);
      else
        layout.take(row, width, s.length, 0, block);
    }
  });
}

// dscores = probabilities * (dprobabilities - their dot product) * scale, in place of dprobabilities.
void softmax_backward(const at::Tensor& probabilities, at::Tensor& gradient, std::int64_t new_rows, float scale) {
  const std::int64_t keys = probabilities.size(2), rows = probabilities.size(0) * probabilities.size(1);
  with_type_of(probabilities, [&](auto type) {
    using T = decltype(type);
    const T* p = probabilities.const_data_ptr<T>();
    T* dp = gradient.mutable_data_ptr<T>();
    at::parallel_for(0, rows, grain_of(keys), [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> buffer(static_cast<std::size_t>(2 * keys));
      float *a = buffer.data(), *b = a + keys;
      for (std::int64_t r = begin; r < end; ++r) {
        const std::int64_t seen = r % new_rows + 1;
        row::load(p + r * keys, a, seen);
        row::load(dp + r * keys, b, seen);
        const float along = row::dot(a, b, seen);
        for (std::int64_t i = 0; i < seen; ++i) b[i] = a[i] * (b[i] - along) * scale;
        row::store(b, dp + r * keys, seen);
        std::fill(dp + r * keys + seen, dp + (r + 1) * keys, T(0.0f));
      }
    });
  });
}

float scale_of(const Config& config) { return 1.0f / std::sqrt(static_cast<float>(config.head_size)); }

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

at::Tensor attention_probabilities(const at::Tensor& query, const at::Tensor& keys, std::int64_t new_rows, float scale) {
  const auto scores = at::bmm(query.to(at::kFloat), keys.to(at::kFloat).transpose(1, 2));
  const std::int64_t seen_max = scores.size(2), rows = scores.size(0) * scores.size(1), past = seen_max - new_rows;
  float* values = scores.mutable_data_ptr<float>();
  auto out = query.scalar_type() == at::kFloat ? scores : at::empty(scores.sizes(), query.options());
  with_type_of(out, [&](auto type) {
    using T = decltype(type);
    T* to = out.template mutable_data_ptr<T>();
    at::parallel_for(0, rows, grain_of(seen_max), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const std::int64_t seen = past + r % new_rows + 1;
        row::softmax(values + r * seen_max, scale, seen);
        row::store(values + r * seen_max, to + r * seen_max, seen);
        std::fill(to + r * seen_max + seen, to + (r + 1) * seen_max, T(0.0f));
      }
    });
  });
  return out;
}

at::Tensor attend(const at::Tensor& qkv, const Config& config, const RotaryTable& rotary,
                  std::span<const SegmentGroup> groups, AttentionState* keep) {
  auto out = at::empty({qkv.size(0), config.query_width()}, qkv.options());
  for (const auto& group : groups) {
    GroupState state{
        padded(config, group, config.query_group(), qkv), padded(config, group, 1, qkv), padded(config, group, 1, qkv), {}};
    with_type_of(qkv, [&](auto type) { split_heads<decltype(type)>(qkv, config, rotary, group, state); });
    state.probabilities = attention_probabilities(state.query, state.key, group.longest, scale_of(config));
    auto attended = at::bmm(state.probabilities, state.value);
    with_type_of(qkv, [&](auto type) { move_heads<decltype(type)>(attended, out, config, rotary, group, true); });
    if (keep) keep->push_back(std::move(state));
  }
  return out;
}

at::Tensor attend_backward(const at::Tensor& dout, const Config& config, const RotaryTable& rotary,
                           std::span<const SegmentGroup> groups, AttentionState& state) {
  auto dqkv = at::empty({dout.size(0), config.query_width() + 2 * config.key_width()}, dout.options());
  auto rows = dout;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    GroupState& s = state[i];
    auto dattended = at::empty_like(s.query);
    with_type_of(dout, [&](auto type) { move_heads<decltype(type)>(dattended, rows, config, rotary, groups[i], false); });
    auto dvalue = at::bmm(s.probabilities.transpose(1, 2), dattended);
    auto dscores = at::bmm(dattended, s.value.transpose(1, 2));
    softmax_backward(s.probabilities, dscores, groups[i].longest, scale_of(config));
    GroupState gradients{at::bmm(dscores, s.key), at::bmm(dscores.transpose(1, 2), s.query), std::move(dvalue), {}};
    with_type_of(dout, [&](auto type) { join_gradients<decltype(type)>(gradients, config, rotary, groups[i], dqkv); });
    s = {};
  }
  return dqkv;
}

}  // namespace redoubt::engine::model
