// SPDX-License-Identifier: Apache-2.0
#include "engine/model/half_attention.h"

#include <gtest/gtest.h>

#include "engine/torch.h"

namespace redoubt::engine::model {
namespace {

// One head of keys and values in two pieces, as attend lays them out, by fp32 tiles and by products of halves.
struct HeadsInTwoPieces {
  static constexpr std::int64_t kPast = 21, kOwn = 40, kSeen = kPast + kOwn;
  at::Tensor rows, dout;  // [21 + 40, 3 d]: query, key, value
  std::int64_t d;

  explicit HeadsInTwoPieces(std::int64_t size) : rows(at::randn({kSeen, 3 * size}).to(at::kBFloat16)), dout(at::randn({kSeen, size}).to(at::kBFloat16)), d(size) {}
  HeadRows<const row::bf16> part(std::int64_t which, std::int64_t first, std::int64_t count) const {
    return {rows.const_data_ptr<row::bf16>() + first * 3 * d + which * d, 3 * d, count};
  }
  HeadPieces<row::bf16> pieces(std::int64_t which) const { return {part(which, 0, kPast), part(which, kPast, kOwn)}; }
  // The queries of the second piece.
  HeadRows<row::bf16> queries() const { return {rows.mutable_data_ptr<row::bf16>() + kPast * 3 * d, 3 * d, kOwn}; }
  HeadRows<row::bf16> gradients() const { return {dout.mutable_data_ptr<row::bf16>() + kPast * d, d, kOwn}; }
};

TEST(HalfAttention, equals_attention_by_fp32_tiles) {
  if (row::best_vectors() < row::Vectors::avx512_bf16) GTEST_SKIP() << "no instructions for bf16";
  c10::InferenceMode guard;
  at::manual_seed(11);
  const auto near = [](const at::Tensor& ours, const at::Tensor& expected, std::string_view what) {
    EXPECT_LT((ours.to(at::kFloat) - expected.to(at::kFloat)).abs().max().item<float>(), expected.abs().max().item<float>() / 64) << what;
  };
  constexpr std::int64_t kOwn = HeadsInTwoPieces::kOwn, kPast = HeadsInTwoPieces::kPast, kRows = HalfAttention::kTileRows;
  for (const auto& [d, scoring] : {std::pair{std::int64_t{64}, Scoring{0.125f, 0, 0}}, {20, {0.3f, 0, 0}}, {34, {0.2f, 1.5f, 0}}, {32, {0.2f, 0, 13}}}) {
    SCOPED_TRACE(d);
    const HeadsInTwoPieces heads(d);
    const auto first = scoring.first(kPast + 1), keys = kPast + kOwn - first, width = HalfAttention::width(d);
    HalfAttention halves(heads.pieces(1), heads.pieces(2), d, first, kPast + kOwn, scoring);
    HeadAttention<row::bf16> tiles(heads.pieces(1), heads.pieces(2), d, first, kPast + kOwn, scoring);
    auto out = at::zeros({kOwn, d}, at::kBFloat16), expected = at::zeros({kOwn, d}, at::kFloat);
    auto gradients = at::zeros({2, keys, width}, at::kFloat), expected_gradients = at::zeros({2, keys, row::padded(d)}, at::kFloat);
    auto dquery = at::zeros({kRows, width}, at::kFloat);
    Tile query(kRows, d), dout(kRows, d), attended(kRows, d), expected_dquery(kRows, d);
    halves.gather_gradients(gradients[0].mutable_data_ptr<float>(), gradients[1].mutable_data_ptr<float>());
    tiles.gather_gradients(expected_gradients[0].mutable_data_ptr<float>(), expected_gradients[1].mutable_data_ptr<float>());
    for (std::int64_t begin = 0; begin < kOwn; begin += kRows) {
      const auto count = std::min(kRows, kOwn - begin), seen = kPast + begin + 1;
      halves.attend(heads.queries(), begin, count, seen, {out.mutable_data_ptr<row::bf16>(), d, kOwn});
      halves.attend_backward(heads.queries(), heads.gradients(), begin, count, seen, dquery.mutable_data_ptr<float>());
      query.load(heads.queries(), begin, begin + count);
      dout.load(heads.gradients(), begin, begin + count);
      tiles.attend(query, count, seen, attended);
      tiles.attend_backward(query, dout, count, seen, expected_dquery);
      for (std::int64_t r = 0; r < count; ++r) std::copy_n(attended.row(r), d, expected.mutable_data_ptr<float>() + (begin + r) * d);
      near(dquery.narrow(0, 0, count).narrow(1, 0, d), at::from_blob(expected_dquery.row(0), {count, row::padded(d)}).narrow(1, 0, d), "dquery");
    }
    near(out, expected, "out");
    near(gradients.narrow(2, 0, d), expected_gradients.narrow(2, 0, d), "dkeys, dvalues");
  }
}

}  // namespace
}  // namespace redoubt::engine::model
