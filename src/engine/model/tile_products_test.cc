// SPDX-License-Identifier: Apache-2.0
#include "engine/model/tile_products.h"

#include <gtest/gtest.h>

#include "engine/torch.h"

namespace redoubt::engine::model {
namespace {

TEST(TileProducts, of_each_vector_width_are_the_framework_s_whatever_the_rows) {
  c10::InferenceMode guard;
  at::manual_seed(5);
  constexpr std::int64_t kMost = 17, kDepth = 21, kColumns = 48;
  const auto a = at::randn({kMost, kDepth}), b = at::randn({kDepth, kColumns + 3}), onto = at::randn({kMost, kColumns + 5});
  const auto turned = a.t().contiguous();
  for (const auto vectors : {row::Vectors::plain, row::Vectors::avx2, row::Vectors::avx512}) {
    if (vectors > row::best_vectors()) break;
    for (std::int64_t rows = 1; rows <= kMost; ++rows) {
      SCOPED_TRACE(std::to_string(static_cast<int>(vectors)) + ", rows " + std::to_string(rows));
      const auto exact = at::mm(a.narrow(0, 0, rows), b.narrow(1, 0, kColumns));
      for (const row::TileView view : {row::TileView{a.const_data_ptr<float>(), kDepth, 1}, {turned.const_data_ptr<float>(), 1, kMost}}) {
        const auto product = onto.clone(), added = onto.clone();
        const row::TileProduct of{view, b.const_data_ptr<float>(), kColumns + 3, rows, kDepth, kColumns, product.mutable_data_ptr<float>(), kColumns + 5};
        row::multiply_tile(vectors, of);
        auto to_add = of;
        to_add.c = added.mutable_data_ptr<float>();
        row::add_tile(vectors, to_add);
        const auto written = [&](const at::Tensor& c) { return c.narrow(0, 0, rows).narrow(1, 0, kColumns); };
        EXPECT_TRUE(at::allclose(written(product), exact, 1e-5, 1e-5));
        EXPECT_TRUE(at::allclose(written(added), written(onto) + exact, 1e-5, 1e-5));
        for (const auto& c : {product, added}) {
          EXPECT_TRUE(c.narrow(0, rows, kMost - rows).equal(onto.narrow(0, rows, kMost - rows)));
          EXPECT_TRUE(c.narrow(1, kColumns, 5).equal(onto.narrow(1, kColumns, 5)));
        }
      }
    }
  }
}

}  // namespace
}  // namespace redoubt::engine::model
