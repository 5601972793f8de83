// SPDX-License-Identifier: Apache-2.0
#include "engine/model/low_rank_products.h"

#include <gtest/gtest.h>

#include "engine/model/packed_matrix.h"
#include "engine/model/testing_products.h"
#include "engine/torch.h"

namespace redoubt::engine::model {
namespace {

// Modules side by side, as an adapter lays them out, with the factor that is zero outside of them.
struct Bands {
  std::vector<RankBand> bands;
  at::Tensor factor;

  explicit Bands(std::initializer_list<RankBand> of) : bands(of) {
    const auto& last = bands.back();
    factor = at::zeros({last.output + last.outputs, last.rank + last.ranks}, at::kBFloat16);
    for (const auto& band : bands)
      factor.narrow(0, band.output, band.outputs).narrow(1, band.rank, band.ranks).copy_(random_halves({band.outputs, band.ranks}));
  }
};
std::vector<Bands> several_bands() {
  std::vector<Bands> out;
  out.emplace_back(Bands{{0, 96, 0, 16}});
  out.emplace_back(Bands{{0, 64, 0, 16}, {64, 32, 16, 16}, {96, 32, 32, 16}});
  out.emplace_back(Bands{{0, 70, 0, 5}, {70, 10, 5, 1}, {100, 34, 6, 20}});  // with outputs of no module between
  return out;
}

class LowRankProducts : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(5);
    if (!multiplies_low_rank(random_halves({2, 2}))) GTEST_SKIP() << "this machine multiplies by the framework";
  }
  c10::InferenceMode guard_;
};

TEST_F(LowRankProducts, reduce_to_the_exact_products_rounded_once) {
  for (const std::int64_t rows : {1, 5, 29, 64})
    for (const std::int64_t ranks : {1, 4, 16, 23, 48})
      for (const std::int64_t inputs : {2, 30, 96}) {
        SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(inputs) + " x " + std::to_string(ranks));
        const auto x = random_halves({rows, inputs}), a = random_halves({ranks, inputs});
        expect_rounded(reduce(x, a), at::mm(x.to(at::kFloat), a.t().to(at::kFloat)));
      }
}

TEST_F(LowRankProducts, reduce_back_by_bands_as_by_the_whole_factor) {
  for (const auto& [bands, factor] : several_bands())
    for (const std::int64_t rows : {1, 5, 29, 64}) {
      const auto dy = random_halves({rows, factor.size(0)});
      expect_rounded(reduce_back(dy, factor, bands), at::mm(dy.to(at::kFloat), factor.to(at::kFloat)));
    }
}

TEST_F(LowRankProducts, outer_products_are_added_where_they_belong) {
  for (const std::int64_t rows : {1, 2, 29, 64})
    for (const std::int64_t ranks : {1, 8, 16, 21})
      for (const std::int64_t columns : {2, 32, 70}) {
        SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(ranks) + " x " + std::to_string(columns));
        // Columns of wider tensors, so that each has rows further apart.
        const auto p = random_halves({rows, ranks + 3}), q = random_halves({rows, columns + 5});
        const auto exact = at::mm(p.narrow(1, 3, ranks).t().to(at::kFloat), q.narrow(1, 5, columns).to(at::kFloat));
        const Columns of_p{p.const_data_ptr<row::bf16>() + 3, ranks + 3, ranks}, of_q{q.const_data_ptr<row::bf16>() + 5, columns + 5, columns};
        auto wide = at::full({ranks, columns}, 2, at::kFloat), turned = at::full({columns, ranks}, 3, at::kFloat);
        const OuterProduct products[] = {{of_p, of_q, wide.mutable_data_ptr<float>(), columns, 1, 1}, {of_p, of_q, turned.mutable_data_ptr<float>(), 1, ranks, 0.5}};
        add_outer_products(products, rows);
        const float allowed = 1e-5f * exact.abs().max().item<float>() + 1e-6f;
        EXPECT_LE((wide - exact - 2).abs().max().item<float>(), allowed);
        EXPECT_LE((turned - 0.5 * exact.t() - 3).abs().max().item<float>(), allowed);
      }
}

TEST_F(LowRankProducts, beside_a_large_product_bands_are_as_good_as_the_whole_factor) {
  for (const auto& [bands, whole] : several_bands()) {
    const auto ranks = (whole.size(1) + 1) / 2 * 2, outputs = whole.size(0);
    auto factor = at::zeros({outputs, ranks}, at::kBFloat16);
    factor.narrow(1, 0, whole.size(1)).copy_(whole);
    const auto matrix = random_halves({outputs, 64}), x = random_halves({40, 64}), low = random_halves({40, ranks});
    PackedMemory memory(PackedMatrix::bytes(matrix), Pages::small);
    const PackedMatrix packed(matrix, memory);
    EXPECT_TRUE(packed.multiply(x, {low, factor, bands}).equal(packed.multiply(x, {low, factor})));
  }
}

TEST(LowRankProductsOf, what_no_instruction_takes_are_the_frameworks) {
  EXPECT_FALSE(multiplies_low_rank(at::zeros({4, 6})));
  EXPECT_FALSE(multiplies_low_rank(random_halves({4, 5})));
  EXPECT_FALSE(multiplies_low_rank(random_halves({4, 6}).t()));
  const RankBand odd{0, 3, 0, 2};
  EXPECT_FALSE(multiplies_low_rank(random_halves({4, 6}), {&odd, 1}));
}

}  // namespace
}  // namespace redoubt::engine::model
