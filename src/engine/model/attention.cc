// SPDX-License-Identifier: Apache-2.0
#include "engine/model/attention.h"

#include <algorithm>
#include <optional>

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
    const std::int64_t examples = std::ssize(group_.segments);
    at::parallel_for(0, examples * layer_.config.key_heads, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) f(group_.segments[static_cast<std::size_t>(i % examples)], i / examples, i);
    });
  }

  // Copies a head of rows `width` apart into a padded block; the padding is zero.
  void take(const T* from, std::int64_t width, std::int64_t length, T* to) const {
    for (std::int64_t p = 0; p < length; ++p) std::copy_n(from + p * width, d_, to + p * d_);
    std::fill(to + length * d_, to + l_ * d_, T(0.0f));
  }
  void take_prepared(const T* from, std::int64_t width, const Segment& s, const Norm& norm, const Angles& angles, T* to) const {
    std::vector<float> wide(static_cast<std::size_t>(d_));
    for (std::int64_t p = 0; p < s.length; ++p) {
      row::load(from + p * width, wide.data(), d_);
      prepare_head(layer_, norm, angles, s.past + p, wide.data());
      row::store(wide.data(), to + p * d_, d_);
    }
    std::fill(to + s.length * d_, to + l_ * d_, T(0.0f));
  }
  void give(const T* from, T* to, std::int64_t width, std::int64_t length) const {
    for (std::int64_t p = 0; p < length; ++p) std::copy_n(from + p * d_, d_, to + p * width);
  }
  // The gradient of prepared heads becomes that of the rows they were, which begin at `raw` (read only where normed).
  void give_prepared(const T* from, const T* raw, T* to, std::int64_t width, const Segment& s, const Norm& norm,
                     const Angles& angles) const {
    std::vector<float> buffer(static_cast<std::size_t>(3 * d_));
    float *wide = buffer.data(), *was = wide + d_, *gradient = was + d_;
    for (std::int64_t p = 0; p < s.length; ++p) {
      row::load(from + p * d_, wide, d_);
      row::rotate(wide, angles.cosine(s.past + p), angles.sine(s.past + p), -1, angles.half());
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
  for (const auto& segment : group.segments) out.push_back(layer.rotary.angles(segment.past + segment.length));
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
    const auto& angles = turns[static_cast<std::size_t>(i) % turns.size()];
    for (std::int64_t j = 0; j < g; ++j)
      layout.take_prepared(rows + (head * g + j) * d, width, s, layer.query_norm, angles, q + (i * g + j) * l * d);
    layout.take_prepared(rows + c.query_width() + head * d, width, s, layer.key_norm, angles, k + i * l * d);
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
    const auto& angles = turns[static_cast<std::size_t>(i) % turns.size()];
    for (std::int64_t j = 0; j < g; ++j) {
      const std::int64_t query = begin + (head * g + j) * d;
      layout.give_prepared(q + (i * g + j) * l * d, was + query, to + query, width, s, layer.query_norm, angles);
    }
    layout.give_prepared(k + i * l * d, was + key, to + key, width, s, layer.key_norm, angles);
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

// Scores [n, rows, keys] of queries and keys, in fp32: in bf16 their rounding alone would move a row's loss.
at::Tensor scores_of(const at::Tensor& query, const at::Tensor& keys) {
  return at::bmm(query.to(at::kFloat), keys.to(at::kFloat).transpose(1, 2));
}

// What the queries of a group [n, g * l, d] are to the keys of a stem [key heads, p, d]: one batch a head.
at::Tensor by_head(const at::Tensor& group_tensor, const at::Tensor& stem) {
  return group_tensor.view({stem.size(0), -1, group_tensor.size(2)});
}

// One row of values that lie in two tensors: first those of the stem's keys, then those of the row's own segment.
template <class T>
class SplitRows {
 public:
  // `stem` may be undefined.
  SplitRows(const at::Tensor& stem, const at::Tensor& own)
      : past_(stem.defined() ? stem.size(2) : 0), own_size_(own.size(2)), stem_(past_ > 0 ? stem.mutable_data_ptr<T>() : nullptr),
        own_(own.mutable_data_ptr<T>()) {}
  std::int64_t past() const { return past_; }
  std::int64_t keys() const { return past_ + own_size_; }

  void load(std::int64_t row, float* to) const {
    row::load(stem_ + row * past_, to, past_);
    row::load(own_ + row * own_size_, to + past_, own_size_);
  }
  // Values `first` to `seen` - 1; all others are zero.
  void store(const float* from, std::int64_t row, std::int64_t first, std::int64_t seen) const {
    T *stem = stem_ + row * past_, *own = own_ + row * own_size_;
    const std::int64_t hidden = std::min(first, past_), own_first = std::max<std::int64_t>(first - past_, 0);
    std::fill(stem, stem + hidden, T(0.0f));
    row::store(from + hidden, stem + hidden, past_ - hidden);
    std::fill(own, own + own_first, T(0.0f));
    row::store(from + past_ + own_first, own + own_first, seen - past_ - own_first);
    std::fill(own + seen - past_, own + own_size_, T(0.0f));
  }

 private:
  std::int64_t past_, own_size_;
  T *stem_, *own_;
};

// The softmax of fp32 scores, row by row, into `to`; row r is the (r mod new_rows)-th of its segment.
template <class T>
void softmax_rows(const SplitRows<float>& scores, const SplitRows<T>& to, std::int64_t rows, std::int64_t new_rows,
                  const Scoring& scoring) {
  const std::int64_t keys = scores.keys(), before = keys - new_rows;
  at::parallel_for(0, rows, grain_of(keys), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> buffer(static_cast<std::size_t>(keys));
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t seen = before + r % new_rows + 1, first = scoring.first(seen), count = seen - first;
      scores.load(r, buffer.data());
      if (scoring.softcap > 0) row::soft_cap(buffer.data() + first, scoring.scale, scoring.softcap, count);
      row::softmax(buffer.data() + first, scoring.softcap > 0 ? 1 : scoring.scale, count);
      to.store(buffer.data(), r, first, seen);
    }
  });
}

// dscores = probabilities * (dprobabilities - their dot product) * scale, in place of dprobabilities. `scores` as scores_of
// answered them where they are capped, else null.
template <class T>
void softmax_rows_backward(const SplitRows<T>& probabilities, const SplitRows<float>* scores, const SplitRows<T>& gradient,
                           std::int64_t rows, std::int64_t new_rows, const Scoring& scoring) {
  const std::int64_t keys = probabilities.keys(), before = keys - new_rows;
  at::parallel_for(0, rows, grain_of(keys), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> buffer(static_cast<std::size_t>(3 * keys));
    float *p = buffer.data(), *dp = p + keys, *score = dp + keys;
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t seen = before + r % new_rows + 1, first = scoring.first(seen), count = seen - first;
      probabilities.load(r, p);
      gradient.load(r, dp);
      const float along = row::dot(p + first, dp + first, count);
      for (std::int64_t i = first; i < seen; ++i) dp[i] = p[i] * (dp[i] - along) * scoring.scale;
      if (scores) {
        scores->load(r, score);
        row::soft_cap(score + first, scoring.scale, scoring.softcap, count);
        row::soft_cap_backward(score + first, scoring.softcap, dp + first, count);
      }
      gradient.store(dp, r, first, seen);
    }
  });
}

// The scores of a group's queries, those of its stem's keys first (undefined without a stem).
struct GroupScores {
  at::Tensor stem, own;
};
GroupScores group_scores(const GroupState& group, const GroupState* stem) {
  GroupScores out;
  if (stem) out.stem = scores_of(by_head(group.query, stem->key), stem->key);
  out.own = scores_of(group.query, group.key);
  return out;
}

// Probabilities and result [n, g * l, d] of one group; `stem` is the group it goes on from, or null.
at::Tensor attend_group(GroupState& group, const GroupState* stem, std::int64_t longest, const Scoring& scoring) {
  const auto scores = group_scores(group, stem);
  group.probabilities = at::empty(scores.own.sizes(), group.query.options());
  if (stem) group.stem_probabilities = at::empty(scores.stem.sizes(), group.query.options());
  with_type_of(group.query, [&](auto type) {
    using T = decltype(type);
    softmax_rows(SplitRows<float>(scores.stem, scores.own), SplitRows<T>(group.stem_probabilities, group.probabilities),
                 scores.own.size(0) * scores.own.size(1), longest, scoring);
  });
  auto attended = at::bmm(group.probabilities, group.value);
  if (stem) by_head(attended, stem->value).baddbmm_(group.stem_probabilities, stem->value);
  return attended;
}

// Gradients of a group's query, key and value, and, where it has a stem, what it adds to those of the stem's.
struct GroupGradients {
  at::Tensor query, key, value, stem_key, stem_value;
};
GroupGradients group_backward(const GroupState& group, const GroupState* stem, const at::Tensor& dattended,
                              std::int64_t longest, const Scoring& scoring) {
  auto dscores = at::bmm(dattended, group.value.transpose(1, 2));
  at::Tensor stem_dscores;
  if (stem) stem_dscores = at::bmm(by_head(dattended, stem->value), stem->value.transpose(1, 2));
  const auto scores = scoring.softcap > 0 ? group_scores(group, stem) : GroupScores();
  with_type_of(dattended, [&](auto type) {
    using T = decltype(type);
    const std::optional<SplitRows<float>> capped =
        scoring.softcap > 0 ? std::optional(SplitRows<float>(scores.stem, scores.own)) : std::nullopt;
    softmax_rows_backward(SplitRows<T>(group.stem_probabilities, group.probabilities), capped ? &*capped : nullptr,
                          SplitRows<T>(stem_dscores, dscores), dscores.size(0) * dscores.size(1), longest, scoring);
  });
  GroupGradients out{at::bmm(dscores, group.key), at::bmm(dscores.transpose(1, 2), group.query),
                     at::bmm(group.probabilities.transpose(1, 2), dattended), {}, {}};
  if (!stem) return out;
  by_head(out.query, stem->key).baddbmm_(stem_dscores, stem->key);
  out.stem_key = at::bmm(stem_dscores.transpose(1, 2), by_head(group.query, stem->key));
  out.stem_value = at::bmm(group.stem_probabilities.transpose(1, 2), by_head(dattended, stem->value));
  return out;
}

const GroupState* stem_of(const SegmentGroup& group, const std::vector<GroupState>& states) {
  return group.stem < 0 ? nullptr : &states[static_cast<std::size_t>(group.stem)];
}

}  // namespace

void prepare_head(const AttentionLayer& layer, const Norm& norm, const Angles& angles, std::int64_t position, float* head) {
  if (norm.defined())
    row::rms_norm(head, norm.weight.const_data_ptr<float>(), static_cast<float>(layer.config.norm_epsilon), head,
                  layer.config.head_size);
  row::rotate(head, angles.cosine(position), angles.sine(position), 1, angles.half());
}

at::Tensor attention_probabilities(const at::Tensor& query, const at::Tensor& keys, std::int64_t new_rows,
                                   const Scoring& scoring) {
  const auto scores = scores_of(query, keys);
  auto out = at::empty(scores.sizes(), query.options());
  with_type_of(out, [&](auto type) {
    softmax_rows(SplitRows<float>({}, scores), SplitRows<decltype(type)>({}, out), scores.size(0) * scores.size(1), new_rows,
                 scoring);
  });
  return out;
}

at::Tensor attend(const at::Tensor& qkv, const AttentionLayer& layer, std::span<const SegmentGroup> groups,
                  AttentionState* keep) {
  const Config& config = layer.config;
  auto out = at::empty({qkv.size(0), config.query_width()}, qkv.options());
  std::vector<GroupState> states(groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i) {
    GroupState& state = states[i];
    state.query = padded(config, groups[i], config.query_group(), qkv);
    state.key = padded(config, groups[i], 1, qkv);
    state.value = at::empty_like(state.key);
    with_type_of(qkv, [&](auto type) { split_heads<decltype(type)>(qkv, layer, groups[i], state); });
    auto attended = attend_group(state, stem_of(groups[i], states), groups[i].longest, layer.scoring);
    with_type_of(qkv, [&](auto type) { move_heads<decltype(type)>(attended, out, layer, groups[i], true); });
    if (!keep) state = {{}, state.key, state.value, {}, {}};
  }
  if (!keep) return out;
  keep->groups = std::move(states);
  if (layer.query_norm.defined() || layer.key_norm.defined()) keep->qkv = qkv;
  return out;
}

at::Tensor attend_backward(const at::Tensor& dout, const AttentionLayer& layer, std::span<const SegmentGroup> groups,
                           AttentionState& state) {
  const Config& config = layer.config;
  auto dqkv = at::empty({dout.size(0), config.query_width() + 2 * config.key_width()}, dout.options());
  auto rows = dout;
  std::vector<GroupGradients> stems(groups.size());  // what branches add to their stems, which stand before them
  for (std::size_t i = groups.size(); i-- > 0;) {
    auto dattended = at::empty_like(state.groups[i].query);
    with_type_of(dout, [&](auto type) { move_heads<decltype(type)>(dattended, rows, layer, groups[i], false); });
    auto gradients =
        group_backward(state.groups[i], stem_of(groups[i], state.groups), dattended, groups[i].longest, layer.scoring);
    if (groups[i].stem >= 0) {
      auto& stem = stems[static_cast<std::size_t>(groups[i].stem)];
      stem.key = stem.key.defined() ? stem.key.add_(gradients.stem_key) : gradients.stem_key;
      stem.value = stem.value.defined() ? stem.value.add_(gradients.stem_value) : gradients.stem_value;
    }
    if (stems[i].key.defined()) {
      gradients.key.add_(stems[i].key);
      gradients.value.add_(stems[i].value);
    }
    const GroupState heads{std::move(gradients.query), std::move(gradients.key), std::move(gradients.value), {}, {}};
    with_type_of(dout, [&](auto type) { join_gradients<decltype(type)>(heads, state.qkv, layer, groups[i], dqkv); });
    state.groups[i] = {};
  }
  state = {};
  return dqkv;
}

}  // namespace redoubt::engine::model
