// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "engine/torch.h"

namespace redoubt::engine::model {

// Where a factor [outputs, ranks] is not zero: a module's outputs and the ranks that are its own.
struct RankBand {
  std::int64_t output, outputs, rank, ranks;  // first and count of each
};

// A product of low rank beside a large one, a part of the same sums: low [rows, rank] times the transposed factor [outputs, rank], which may
// lie in any order. Both have the large product's type.
struct LowRank {
  at::Tensor low, factor;
  std::span<const RankBand> bands = {};  // in the order of their outputs, if they are known: the rest of the factor is not read
};

}  // namespace redoubt::engine::model
