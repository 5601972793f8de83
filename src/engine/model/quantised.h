// SPDX-License-Identifier: Apache-2.0
//
// A weight matrix that nothing trains in fewer bits, made from the loaded one. Only the weights are rounded: activations and sums stay as
// they are.
//   int8: groups of 64 values of a row times a bf16 scale, their largest magnitude / 127.
//   int4: groups of 32 values of a row, -8 to 7 times a bf16 scale, the one of a few whose squared error is least.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/model/low_rank.h"
#include "engine/torch.h"

namespace redoubt::engine::model {

enum class WeightFormat { as_loaded, int8, int4 };
Result<WeightFormat> parse_weight_format(std::string_view name);  // bf16 (as loaded), int8 or int4
const char* to_string(WeightFormat format);

class QuantisedMatrix {
 public:
  QuantisedMatrix() = default;
  // `matrix` [outputs, inputs]; format int8 or int4. For int4 inputs must be a multiple of 32.
  static QuantisedMatrix of(const at::Tensor& matrix, WeightFormat format);
  // What it takes.
  static std::int64_t bytes_of(std::int64_t outputs, std::int64_t inputs, WeightFormat format);

  bool defined() const { return values_.defined(); }
  std::int64_t outputs() const { return values_.size(0); }
  std::int64_t inputs() const { return inputs_; }
  bool is_int8() const { return values_.scalar_type() == at::kChar; }
  // Of a matrix in 8 bits, [outputs, inputs] and [outputs, groups], the last group of a row being shorter where it has to be.
  const std::int8_t* int8_values() const { return values_.const_data_ptr<std::int8_t>(); }
  const c10::BFloat16* int8_scales() const { return scales_.const_data_ptr<c10::BFloat16>(); }

  // x W^T for x [rows, inputs], in x's type.
  at::Tensor multiply(const at::Tensor& x) const { return multiply(x, nullptr); }
  // The same plus `more`, summed before it is rounded.
  at::Tensor multiply(const at::Tensor& x, const LowRank& more) const { return multiply(x, &more); }
  // The way back: y W for y [rows, outputs], plus `more`, whose factor is then [inputs, rank].
  at::Tensor multiply_back(const at::Tensor& y, const LowRank& more) const;
  // One vector times rows `begin` to `end` of the matrix; `group_sums` of x are used by int4 alone (row_products.h).
  void multiply_rows(const float* x, const float* group_sums, std::int64_t begin, std::int64_t end, float* out) const;
  // The matrix as it is computed with, in bf16 or fp32; or `rows` of it from `begin` on.
  at::Tensor dense(at::ScalarType type) const { return dense(type, 0, outputs()); }
  at::Tensor dense(at::ScalarType type, std::int64_t begin, std::int64_t rows) const;
  // The same in this thread's product_buffer().
  at::Tensor dense_in_buffer(at::ScalarType type) const;
  // What it is stored in.
  std::vector<at::Tensor> tensors() const { return {values_, scales_}; }

 private:
  at::Tensor multiply(const at::Tensor& x, const LowRank* more) const;
  at::Tensor multiply_few(const at::Tensor& x, const LowRank* more) const;
  // Into out [rows, inputs], whose rows may lie further apart.
  void write_dense(std::int64_t begin, at::Tensor& out) const;
  // One row, widened.
  void load_row(std::int64_t row, float* to) const;
  bool is_int4() const { return values_.scalar_type() == at::kByte; }
  std::int64_t inputs_ = 0;
  at::Tensor values_;  // int8 [outputs, inputs], or bytes [outputs, inputs / 2]
  at::Tensor scales_;  // bf16 [outputs, groups]
};

}  // namespace redoubt::engine::model
