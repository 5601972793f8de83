// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/torch.h"

namespace redoubt::engine::model {

// A product of low rank beside a large one, a part of the same sums: low [rows, rank] times the transposed factor [outputs, rank], which may
// lie in any order. Both have the large product's type.
struct LowRank {
  at::Tensor low, factor;
};

}  // namespace redoubt::engine::model
