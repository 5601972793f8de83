// SPDX-License-Identifier: Apache-2.0
#include "engine/model/dense_products.h"

#include <gtest/gtest.h>

#include "engine/model/packed_products.h"

namespace redoubt::engine::model {
namespace {

constexpr double kRounding = 1.0 / 256;  // of bf16: half a unit of its eighth bit

// Each element against the same sum in fp64, as a share of what was summed.
double largest_error(const at::Tensor& got, const at::Tensor& a, const at::Tensor& b) {
  const auto exact = at::mm(a.to(at::kDouble), b.to(at::kDouble));
  const auto summed = at::mm(a.to(at::kDouble).abs(), b.to(at::kDouble).abs());
  return ((got.to(at::kDouble) - exact).abs() / summed).max().item<double>();
}

TEST(DenseProducts, of_bf16_are_rounded_no_worse_than_once_and_keep_their_type) {
  c10::InferenceMode guard;
  at::manual_seed(3);
  for (const std::int64_t rows : {1, 5, 70})
    for (const bool transposed : {false, true}) {
      const auto a = at::randn({rows, 96}).to(at::kBFloat16), matrix = at::randn({transposed ? 40 : 96, transposed ? 96 : 40}).to(at::kBFloat16);
      const auto b = transposed ? matrix.t() : matrix;
      const auto out = matrix_product(a, b);
      EXPECT_EQ(out.scalar_type(), at::kBFloat16);
      EXPECT_LT(largest_error(out, a, b), kRounding) << rows << transposed;
    }
}

TEST(DenseProducts, of_fp32_stay_as_they_are) {
  at::manual_seed(4);
  const auto a = at::randn({7, 33}), b = at::randn({33, 20});
  EXPECT_TRUE(at::equal(matrix_product(a, b), at::mm(a, b)));
  EXPECT_EQ(product_type(at::kFloat), at::kFloat);
}

TEST(DenseProducts, a_processor_without_products_of_bf16_takes_fp32) {
  EXPECT_EQ(product_type(at::kBFloat16) == at::kFloat, row::best_vectors() < row::Vectors::avx512);
}

TEST(DenseProducts, a_matrix_in_another_type_lies_as_it_lay) {
  c10::InferenceMode guard;
  const auto matrix = at::randn({6, 10}).to(at::kBFloat16);
  const auto wide = in_product_type(matrix.t(), at::kFloat);
  EXPECT_EQ(wide.sizes(), matrix.t().sizes());
  EXPECT_EQ(wide.strides(), matrix.t().strides());
  EXPECT_TRUE(at::equal(wide, matrix.t().to(at::kFloat)));
  const auto same = in_product_type(matrix, at::kBFloat16);
  EXPECT_EQ(same.const_data_ptr(), matrix.const_data_ptr()) << "nothing to convert";
}

TEST(DenseProducts, the_buffer_serves_what_fits_and_grows) {
  c10::InferenceMode guard;
  const auto first = product_buffer(4, 8, at::kFloat);
  const auto second = product_buffer(8, 4, at::kFloat);
  EXPECT_EQ(first.const_data_ptr(), second.const_data_ptr());
  const auto larger = product_buffer(64, 64, at::kFloat);
  EXPECT_EQ(larger.numel(), 64 * 64);
  EXPECT_EQ(product_buffer(2, 2, at::kBFloat16).scalar_type(), at::kBFloat16);
}

}  // namespace
}  // namespace redoubt::engine::model
