// SPDX-License-Identifier: Apache-2.0
//
// A weight matrix for generation in fewer bits, made from the loaded one. Only the weights are rounded: activations and sums stay as
// they are.
//   int8: each row times a scale, its largest magnitude / 127.
//   int4: groups of 32 values of a row, -8 to 7 times a bf16 scale, the one of a few whose squared error is least.
#pragma once

#include <string_view>

#include "base/result.h"
#include "engine/torch.h"

namespace redoubt::engine::model {

enum class WeightFormat { as_loaded, int8, int4 };
Result<WeightFormat> parse_weight_format(std::string_view name);  // bf16 (as loaded), int8 or int4

class QuantisedMatrix {
 public:
  QuantisedMatrix() = default;
  // `matrix` [outputs, inputs]; format int8 or int4. For int4 inputs must be a multiple of 32.
  static QuantisedMatrix of(const at::Tensor& matrix, WeightFormat format);

  bool defined() const { return values_.defined(); }
  std::int64_t outputs() const { return values_.size(0); }
  std::int64_t inputs() const { return inputs_; }
  std::size_t bytes() const { return values_.nbytes() + scales_.nbytes(); }
  bool is_int8() const { return values_.scalar_type() == at::kChar; }
  // Of a matrix in 8 bits, [outputs, inputs] and [outputs].
  const std::int8_t* int8_values() const { return values_.const_data_ptr<std::int8_t>(); }
  const float* int8_scales() const { return scales_.const_data_ptr<float>(); }

  // x W^T for x [rows, inputs], in x's type.
  at::Tensor multiply(const at::Tensor& x) const;
  // One vector times rows `begin` to `end` of the matrix; `group_sums` of x are used by int4 alone (row_products.h).
  void multiply_rows(const float* x, const float* group_sums, std::int64_t begin, std::int64_t end, float* out) const;
  // The matrix as it is computed with.
  at::Tensor dense(at::ScalarType type) const;

 private:
  bool is_int4() const { return values_.scalar_type() == at::kByte; }
  std::int64_t inputs_ = 0;
  at::Tensor values_;  // int8 [outputs, inputs], or bytes [outputs, inputs / 2]
  at::Tensor scales_;  // fp32 [outputs], or bf16 [outputs, inputs / 32]
};

}  // namespace redoubt::engine::model
