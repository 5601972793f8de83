// SPDX-License-Identifier: Apache-2.0
#include "engine/model/panel_products.h"

#include <gtest/gtest.h>

#include "engine/model/panels.h"
#include "engine/model/testing_products.h"
#include "engine/torch.h"

namespace redoubt::engine::model {
namespace {

TEST(PanelProducts, are_the_exact_products_rounded_once) {
  c10::InferenceMode guard;
  at::manual_seed(3);
  for (const auto& [outputs, inputs] : {std::pair<std::int64_t, std::int64_t>{2, 2}, {70, 34}, {1088, 96}, {1024, 66}}) {
    const auto matrix = random_halves({outputs, inputs});
    if (!multiplies_by_panels(matrix)) GTEST_SKIP() << "this machine multiplies by the framework";
    for (const std::int64_t rows : {1, 7, 300}) {
      const auto size = std::to_string(rows) + " x " + std::to_string(inputs) + " x " + std::to_string(outputs);
      const auto x = random_halves({rows, inputs});
      const auto y = multiply_by_panels(x, matrix);
      expect_rounded(y, at::mm(x.to(at::kFloat), matrix.t().to(at::kFloat)), size);
      // The rows of y lie apart, those of a clone do not.
      const auto back = multiply_back_by_panels(y, matrix);
      expect_rounded(back, at::mm(y.to(at::kFloat), matrix.to(at::kFloat)), size + " back");
      EXPECT_TRUE(back.equal(multiply_back_by_panels(y.clone(at::MemoryFormat::Contiguous), matrix)));
    }
  }
}

TEST(PanelProducts, are_the_same_to_the_bit_by_any_number_of_threads) {
  c10::InferenceMode guard;
  at::manual_seed(4);
  const auto matrix = random_halves({1500, 130}), x = random_halves({40, 130});
  if (!multiplies_by_panels(matrix)) GTEST_SKIP() << "this machine multiplies by the framework";
  const int threads = at::get_num_threads();
  const auto y = multiply_by_panels(x, matrix), back = multiply_back_by_panels(y, matrix);
  for (const int others : {1, 3}) {
    at::set_num_threads(others);
    EXPECT_TRUE(multiply_by_panels(x, matrix).equal(y));
    EXPECT_TRUE(multiply_back_by_panels(y, matrix).equal(back));
  }
  at::set_num_threads(threads);
}

TEST(PanelProducts, need_dense_bf16_of_even_sizes) {
  EXPECT_FALSE(multiplies_by_panels(at::zeros({4, 6})));
  EXPECT_FALSE(multiplies_by_panels(random_halves({3, 6})));
  EXPECT_FALSE(multiplies_by_panels(random_halves({4, 5})));
  EXPECT_FALSE(multiplies_by_panels(random_halves({4, 6}).t()));
}

// Each output's pairs stand where packed_products.h says, for sizes that registers turn and for what is left over.
TEST(Panels, hold_each_pair_of_a_row_in_its_place) {
  for (const std::int64_t count : {1, 15, 16, 17, 31, 32})
    for (const std::int64_t inputs : {2, 30, 32, 34, 64, 98}) {
      const auto rows = random_halves({count, inputs});
      const auto* from = rows.const_data_ptr<row::bf16>();
      const row::bf16 untouched = 77.0f;
      std::vector<row::bf16> panel(static_cast<std::size_t>(inputs * row::kPanel), untouched);
      row::pack_outputs([&](std::int64_t o) { return from + o * inputs; }, count, inputs, panel.data());
      for (std::int64_t o = 0; o < row::kPanel; ++o)
        for (std::int64_t k = 0; k < inputs; ++k)
          ASSERT_EQ(panel[static_cast<std::size_t>((k / 2 * row::kPanel + o) * 2 + k % 2)].x, (o < count ? from[o * inputs + k] : untouched).x) << count << " " << inputs;
    }
}

TEST(Panels, hold_each_pair_of_a_column_in_its_place) {
  for (const std::int64_t width : {16, 32})
    for (std::int64_t columns = 1; columns <= width; ++columns)
      for (const bool alone : {false, true}) {
        const auto rows = random_halves({2, columns});
        const auto* from = rows.const_data_ptr<row::bf16>();
        const row::bf16 untouched = 77.0f;
        std::vector<row::bf16> panel(static_cast<std::size_t>(2 * width + 1), untouched);
        row::pack_inputs(from, alone ? nullptr : from + columns, columns, width, panel.data());
        for (std::int64_t o = 0; o < width; ++o) {
          ASSERT_EQ(panel[static_cast<std::size_t>(2 * o)].x, o < columns ? from[o].x : 0) << columns;
          ASSERT_EQ(panel[static_cast<std::size_t>(2 * o + 1)].x, o < columns && !alone ? from[columns + o].x : 0) << columns;
        }
        ASSERT_EQ(panel.back().x, untouched.x);
      }
}

}  // namespace
}  // namespace redoubt::engine::model
