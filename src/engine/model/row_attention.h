// SPDX-License-Identifier: Apache-2.0
//
// The attention of new rows over a key-value cache, head by head.
#pragma once

#include <vector>

#include "engine/model/attention.h"
#include "engine/model/row_products.h"

namespace redoubt::engine::model {

// New rows of qkv over a cache: their heads are prepared in place and attend one by one.
template <class T>
struct RowAttention {
  const AttentionLayer& layer;

  void prepare(T* heads, std::int64_t count, const Norm& norm, const Angles& angles, std::int64_t position,
               float* wide) const {
    const std::int64_t d = layer.config.head_size;
    for (std::int64_t h = 0; h < count; ++h) {
      row::load(heads + h * d, wide, d);
      prepare_head(layer, norm, angles, position, wide);
      row::store(wide, heads + h * d, d);
    }
  }

  // One query head over `count` keys and values [count, d], in fp32; `scores` has room for as many.
  void attend_wide(const float* query, const T* keys, const T* values, std::int64_t count, float* scores, float* out) const {
    const std::int64_t d = layer.config.head_size;
    const float scale = layer.scoring.scale, cap = layer.scoring.softcap;
    row::multiply_rows(query, keys, d, count, scores);
    if (cap > 0) row::soft_cap(scores, scale, cap, count);
    row::softmax(scores, cap > 0 ? 1 : scale, count);
    row::sum_rows(scores, values, count, d, out);
  }
};

}  // namespace redoubt::engine::model
