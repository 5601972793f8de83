// SPDX-License-Identifier: Apache-2.0
//
// Causal grouped-query attention over examples laid end to end: each row attends within its own example only. Examples of
// like length are computed together, padded to the longest of them; padding never reaches a result or a gradient.
#pragma once

#include <span>
#include <vector>

#include "engine/model/config.h"
#include "engine/model/rotary.h"
#include "engine/torch.h"

namespace redoubt::engine::model {

// The rows of one example.
struct Segment {
  std::int64_t begin = 0, length = 0;
};

// Examples whose attention is computed together.
struct SegmentGroup {
  std::vector<Segment> segments;
  std::int64_t longest = 0;
};
std::vector<SegmentGroup> group_segments(std::span<const Segment> segments);

// What a group's backward pass needs. n = examples * key heads, g = query heads a key head, l = longest, d = head size.
struct GroupState {
  at::Tensor query;          // [n, g * l, d], turned
  at::Tensor key;            // [n, l, d], turned
  at::Tensor value;          // [n, l, d]
  at::Tensor probabilities;  // [n, g * l, l]
};
using AttentionState = std::vector<GroupState>;

// qkv [rows, (heads + 2 * key heads) * d] -> [rows, heads * d]. `keep` may be null.
at::Tensor attend(const at::Tensor& qkv, const Config& config, const RotaryTable& rotary,
                  std::span<const SegmentGroup> groups, AttentionState* keep);

// The gradient of qkv for the gradient of attend's result. Uses up `state`.
at::Tensor attend_backward(const at::Tensor& dout, const Config& config, const RotaryTable& rotary,
                           std::span<const SegmentGroup> groups, AttentionState& state);

// softmax(scale * query keys^T) of query [n, g * new, d] and keys [n, keys, d], where query i of the new ones sees keys 0 to
// keys - new + i. The scores stay in fp32 until they are probabilities: in bf16 their rounding alone would move a row's loss.
at::Tensor attention_probabilities(const at::Tensor& query, const at::Tensor& keys, std::int64_t new_rows, float scale);

}  // namespace redoubt::engine::model
