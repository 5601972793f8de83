// SPDX-License-Identifier: Apache-2.0
#include "engine/model/dense_products.h"

#include "engine/model/packed_products.h"

namespace redoubt::engine::model {

at::ScalarType product_type(at::ScalarType of_values) {
  return of_values == at::kBFloat16 && row::best_vectors() < row::Vectors::avx512 ? at::kFloat : of_values;
}

at::Tensor product_buffer(std::int64_t rows, std::int64_t columns, at::ScalarType type) {
  thread_local at::Tensor buffer;
  if (!buffer.defined() || buffer.scalar_type() != type || buffer.numel() < rows * columns) buffer = at::empty({rows * columns}, type);
  return buffer.narrow(0, 0, rows * columns).view({rows, columns});
}

at::Tensor in_product_type(const at::Tensor& matrix, at::ScalarType type) {
  if (matrix.scalar_type() == type) return matrix;
  if (!matrix.is_contiguous() && matrix.t().is_contiguous()) return in_product_type(matrix.t(), type).t();
  return product_buffer(matrix.size(0), matrix.size(1), type).copy_(matrix);
}

at::Tensor matrix_product(const at::Tensor& a, const at::Tensor& b) {
  const auto type = product_type(a);
  return at::mm(a.to(type), in_product_type(b, type)).to(a.scalar_type());
}

}  // namespace redoubt::engine::model
