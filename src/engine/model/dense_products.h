// SPDX-License-Identifier: Apache-2.0
//
// The type in which the framework's products of dense matrices are computed. Processors without AVX-512 have no way for bf16 in libtorch's
// library, and what remains is a loop several times slower than fp32's: there matrices are widened, and a product is rounded once.
#pragma once

#include "engine/torch.h"

namespace redoubt::engine::model {

// That of products with such values: fp32, or bf16 where they are and the processor has a way for it.
at::ScalarType product_type(at::ScalarType of_values);
inline at::ScalarType product_type(const at::Tensor& x) { return product_type(x.scalar_type()); }

// The matrix in `type`, laid out as it lies: itself, or a copy that holds until this thread's next product.
at::Tensor in_product_type(const at::Tensor& matrix, at::ScalarType type);

// [rows, columns] of this thread, for one product: the next call overwrites it. A new tensor for each product would leave holes in the
// heap that grow from pass to pass.
at::Tensor product_buffer(std::int64_t rows, std::int64_t columns, at::ScalarType type);

// a b for [rows, n] and [n, columns], in a's type.
at::Tensor matrix_product(const at::Tensor& a, const at::Tensor& b);

}  // namespace redoubt::engine::model
