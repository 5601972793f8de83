// SPDX-License-Identifier: Apache-2.0
//
// Products of a large bf16 matrix that is not kept in panels (packed_matrix.h): each panel is made when its turn comes and serves all rows,
// which costs little beside some dozen of them. The head of a training takes this way in both directions.
#pragma once

#include "engine/torch.h"

namespace redoubt::engine::model {

// Whether the machine is faster so than by the framework, and the matrix [outputs, inputs] can be taken: bf16, dense, of even sizes.
bool multiplies_by_panels(const at::Tensor& matrix);

// x W^T for x [rows, inputs] in bf16. The rows of the result lie further apart than they are long.
at::Tensor multiply_by_panels(const at::Tensor& x, const at::Tensor& matrix);
// dy W for dy [rows, outputs] in bf16, whose rows may lie apart. Sums are fp32, each in the order of the outputs whatever the threads.
at::Tensor multiply_back_by_panels(const at::Tensor& dy, const at::Tensor& matrix);

}  // namespace redoubt::engine::model
