// SPDX-License-Identifier: Apache-2.0
//
// Causal grouped-query attention over examples laid end to end: each row attends within its own example only, which may begin
// with a stem that others share. Examples of like length are computed together, padded to the longest of them; padding never
// reaches a result or a gradient.
#pragma once

#include <span>
#include <vector>

#include "engine/model/config.h"
#include "engine/model/packed_batch.h"
#include "engine/model/rotary.h"
#include "engine/model/weights.h"
#include "engine/torch.h"

namespace redoubt::engine::model {

// How scores become probabilities: softmax of scale * query key^T, capped, over the last `window` keys.
struct Scoring {
  float scale = 1;
  float softcap = 0;        // 0: none, else cap * tanh(score / cap)
  std::int64_t window = 0;  // 0: all keys up to the query's own
  // The first of `seen` keys that counts.
  std::int64_t first(std::int64_t seen) const { return window > 0 && seen > window ? seen - window : 0; }
};

// How one layer attends. The parts belong to the model.
struct AttentionLayer {
  const Config& config;
  const RotaryTable& rotary;
  const Norm &query_norm, &key_norm;  // of each head, before it is turned; may be undefined
  Scoring scoring;
};

// A query or key head, in place, as it meets others: normed, where the model has a norm for it, and turned by its position.
void prepare_head(const AttentionLayer& layer, const Norm& norm, const Angles& angles, std::int64_t position, float* head);

// What a group's backward pass needs. n = key heads * examples, head by head; g = query heads a key head, l = longest, d = head
// size, p = rows of the stem.
struct GroupState {
  at::Tensor query;               // [n, g * l, d], prepared
  at::Tensor key;                 // [n, l, d], prepared
  at::Tensor value;               // [n, l, d]
  at::Tensor probabilities;       // [n, g * l, l]
  at::Tensor stem_probabilities;  // [key heads, examples * g * l, p], of the stem's keys; undefined without one
};
struct AttentionState {
  std::vector<GroupState> groups;
  at::Tensor qkv;  // what came in, where heads are normed
};

// qkv [rows, (heads + 2 * key heads) * d] -> [rows, heads * d]. `keep` may be null.
at::Tensor attend(const at::Tensor& qkv, const AttentionLayer& layer, std::span<const SegmentGroup> groups,
                  AttentionState* keep);

// The gradient of qkv for the gradient of attend's result. Uses up `state`.
at::Tensor attend_backward(const at::Tensor& dout, const AttentionLayer& layer, std::span<const SegmentGroup> groups,
                           AttentionState& state);

// The probabilities of query [n, g * new, d] over keys [n, keys, d], where query i of the new ones sees keys 0 to
// keys - new + i, within the window. The scores stay in fp32 until they are probabilities: in bf16 their rounding alone
// would move a row's loss.
at::Tensor attention_probabilities(const at::Tensor& query, const at::Tensor& keys, std::int64_t new_rows,
                                   const Scoring& scoring);

}  // namespace redoubt::engine::model
