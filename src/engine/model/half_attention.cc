// SPDX-License-Identifier: Apache-2.0
#include "engine/model/half_attention.h"

#include <algorithm>

#include "engine/model/panels.h"

namespace redoubt::engine::model {
namespace {

using row::bf16;

std::int64_t even(std::int64_t n) { return (n + 1) / 2 * 2; }
std::unique_ptr<bf16[]> halves(std::int64_t count) { return std::make_unique_for_overwrite<bf16[]>(static_cast<std::size_t>(count)); }

}  // namespace

HalfAttention::HalfAttention(const HeadPieces<bf16>& keys, const HeadPieces<bf16>& values, std::int64_t d, std::int64_t first, std::int64_t end, const Scoring& scoring)
    : d_(d), width_(width(d)), first_(first), count_(end - first), even_(even(count_)), columns_(width(count_)), keys_(rows_of(keys)),
      values_(rows_of(values)), keys_as_outputs_(panels_of_rows(keys_)), values_as_inputs_(panels_of_columns(values_)), scores_(columns_, first, scoring),
      attended_(floats(kTileRows * width_)), rounded_(halves(kTileRows * columns_)) {}

std::vector<const bf16*> HalfAttention::rows_of(const HeadPieces<bf16>& pieces) const {
  std::vector<const bf16*> rows;
  rows.reserve(static_cast<std::size_t>(count_));
  const std::int64_t past = pieces[0].count;
  for (std::int64_t r = first_; r < first_ + count_; ++r) rows.push_back(r < past ? pieces[0].row(r) : pieces[1].row(r - past));
  return rows;
}

HalfAttention::Halves HalfAttention::panels_of_rows(const std::vector<const bf16*>& rows) const {
  auto panels = halves(columns_ * d_);
  std::fill(panels.get() + count_ / row::kPanel * row::kPanel * d_, panels.get() + columns_ * d_, bf16{});  // the last panel may not be full
  for (std::int64_t at = 0; at < count_; at += row::kPanel)
    row::pack_outputs([&](std::int64_t o) { return rows[static_cast<std::size_t>(at + o)]; }, std::min(row::kPanel, count_ - at), d_, panels.get() + at * d_);
  return panels;
}

HalfAttention::Halves HalfAttention::panels_of_columns(const std::vector<const bf16*>& rows) const {
  auto panels = halves(width_ * even_);
  for (std::int64_t at = 0; at < d_; at += row::kPanel)
    for (std::int64_t k = 0; k < count_; k += 2) {
      const auto* next = k + 1 < count_ ? rows[static_cast<std::size_t>(k + 1)] + at : nullptr;
      row::pack_inputs(rows[static_cast<std::size_t>(k)] + at, next, std::min(row::kPanel, d_ - at), row::kPanel, panels.get() + at * even_ + k * row::kPanel);
    }
  return panels;
}

void HalfAttention::multiply_by_rows(const Rows& rows, std::int64_t begin, std::int64_t count, std::int64_t used, const Halves& panels, float* out) const {
  for (std::int64_t at = 0; at < used; at += row::kPanel) row::multiply_panel({rows.row(begin), count, rows.stride}, panels.get() + at * d_, d_, {out + at, columns_});
}

void HalfAttention::score(const Rows& query, std::int64_t begin, std::int64_t count, std::int64_t seen) {
  const std::int64_t used = keys_of(count, seen);
  multiply_by_rows(query, begin, count, used, keys_as_outputs_, scores_.values());
  scores_.exponentiate(count, seen, even(used));
}

void HalfAttention::round_tile(const float* values, std::int64_t count, std::int64_t used) {
  for (std::int64_t r = 0; r < count; ++r) row::store(values + r * columns_, rounded_.get() + r * columns_, even(used));
}

void HalfAttention::multiply_by_columns(std::int64_t count, std::int64_t used, const Halves& panels, float* out) const {
  for (std::int64_t at = 0; at < d_; at += row::kPanel) row::multiply_panel({rounded_.get(), count, columns_}, panels.get() + at * even_, even(used), {out + at, width_});
}

void HalfAttention::attend(const Rows& query, std::int64_t begin, std::int64_t count, std::int64_t seen, const Rows& out) {
  const std::int64_t used = keys_of(count, seen);
  score(query, begin, count, seen);
  round_tile(scores_.values(), count, used);
  multiply_by_columns(count, used, values_as_inputs_, attended_.get());
  for (std::int64_t r = 0; r < count; ++r) {
    row::multiply_by(attended_.get() + r * width_, scores_.share_of(r), d_);
    row::store(attended_.get() + r * width_, out.row(begin + r), d_);
  }
}

void HalfAttention::gather_gradients(float* dkeys, float* dvalues) {
  dkeys_ = dkeys, dvalues_ = dvalues;
  values_as_outputs_ = panels_of_rows(values_);
  keys_as_inputs_ = panels_of_columns(keys_);
  scores_.keep_for_gradients();
  turned_ = floats(kTileRows * columns_);
  turned_halves_ = halves(kTileRows * columns_);
  panel_ = halves(kTileRows * row::kPanel);
}

void HalfAttention::add_transposed(const float* values, const Rows& rows, std::int64_t begin, std::int64_t count, std::int64_t used, float* gradient) {
  if (count < kTileRows) std::fill_n(turned_.get(), used * kTileRows, 0.0f);
  row::transpose_tile(values, columns_, count, used, turned_.get(), kTileRows);
  row::store(turned_.get(), turned_halves_.get(), used * kTileRows);
  for (std::int64_t at = 0; at < d_; at += row::kPanel) {
    for (std::int64_t r = 0; r < count; r += 2)
      row::pack_inputs(rows.row(begin + r) + at, r + 1 < count ? rows.row(begin + r + 1) + at : nullptr, std::min(row::kPanel, d_ - at), row::kPanel, panel_.get() + r * row::kPanel);
    row::multiply_panel({turned_halves_.get(), used, kTileRows}, panel_.get(), even(count), {gradient + at, width_}, row::Start::onto);
  }
}

void HalfAttention::attend_backward(const Rows& query, const Rows& dout, std::int64_t begin, std::int64_t count, std::int64_t seen, float* dquery) {
  const std::int64_t used = keys_of(count, seen);
  score(query, begin, count, seen);
  scores_.to_probabilities(count, used);
  add_transposed(scores_.values(), dout, begin, count, used, dvalues_);
  multiply_by_rows(dout, begin, count, used, values_as_outputs_, scores_.gradients());
  scores_.to_gradients_of_products(count, seen, even(used));
  round_tile(scores_.gradients(), count, used);
  multiply_by_columns(count, used, keys_as_inputs_, dquery);
  add_transposed(scores_.gradients(), query, begin, count, used, dkeys_);
}

}  // namespace redoubt::engine::model
