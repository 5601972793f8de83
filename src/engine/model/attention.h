// SPDX-License-Identifier: Apache-2.0
//
// Causal grouped-query attention over examples laid end to end: each row attends within its own example only, which may begin
// with a stem that others share. Nothing is padded.
#pragma once

#include <span>
#include <vector>

#include "engine/model/config.h"
#include "engine/model/head_attention.h"
#include "engine/model/packed_batch.h"
#include "engine/model/rotary.h"
#include "engine/model/weights.h"
#include "engine/torch.h"

namespace redoubt::engine::model {

// How one layer attends. The parts belong to the model.
struct AttentionLayer {
  const Config& config;
  const RotaryTable& rotary;
  const Norm &query_norm, &key_norm;  // of each head, before it is turned; may be undefined
  Scoring scoring;

  bool norms_heads() const { return query_norm.defined() || key_norm.defined(); }
};

// A query or key head, in place, as it meets others: normed, where the model has a norm for it, and turned by its position.
void prepare_head(const AttentionLayer& layer, const Norm& norm, const Angles& angles, std::int64_t position, float* head);

// What the way back needs.
struct AttentionState {
  at::Tensor prepared;  // qkv with its query and key heads as they meet others
  at::Tensor qkv;       // what came in, where heads are normed
};

// qkv [rows, (heads + 2 * key heads) * d] -> [rows, heads * d]. Uses up `qkv`; `keep` may be null.
at::Tensor attend(at::Tensor qkv, const AttentionLayer& layer, std::span<const Segment> segments, AttentionState* keep);

// The gradient of qkv for the gradient of attend's result. Uses up `state`.
at::Tensor attend_backward(const at::Tensor& dout, const AttentionLayer& layer, std::span<const Segment> segments, AttentionState& state);

// What the prepared queries of new rows [rows, qkv's width] take from a cache's keys and values [key heads, capacity, d], of which the first
// row sees `seen`.
at::Tensor attend_cached(const at::Tensor& prepared, const at::Tensor& keys, const at::Tensor& values, std::int64_t seen, const AttentionLayer& layer);

}  // namespace redoubt::engine::model
