// SPDX-License-Identifier: Apache-2.0
#include "engine/model/panel_products.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "engine/model/panels.h"
#include "engine/model/tasks.h"

namespace redoubt::engine::model {
namespace {

using row::bf16;
using row::kPanel;
using row::kRowsAtOnce;
using row::panels_of;

constexpr std::int64_t kDepth = 512;  // inputs of a panel on the way back: it, and the rows' part, stay near likewise
constexpr std::int64_t kTaskPanels = 16;

row::Rows<bf16> rows_at(const at::Tensor& x, std::int64_t first, std::int64_t column) {
  return {x.const_data_ptr<bf16>() + first * x.stride(0) + column, std::min(kRowsAtOnce, x.size(0) - first), x.stride(0)};
}

void check_rows(const at::Tensor& x, std::int64_t width) {
  CHECK(x.scalar_type() == at::kBFloat16 && x.dim() == 2 && x.size(1) == width && (x.size(0) == 0 || x.stride(1) == 1));
}

}  // namespace

bool multiplies_by_panels(const at::Tensor& matrix) {
  return row::best_vectors() == row::Vectors::avx512_bf16 && !row::has_tiles() && matrix.scalar_type() == at::kBFloat16 && matrix.is_contiguous() &&
         matrix.size(0) % 2 == 0 && matrix.size(1) % 2 == 0;
}

at::Tensor multiply_by_panels(const at::Tensor& x, const at::Tensor& matrix) {
  const std::int64_t rows = x.size(0), outputs = matrix.size(0), inputs = matrix.size(1), panels = panels_of(outputs);
  check_rows(x, inputs);
  // Rows a multiple of 4 KiB apart, as a vocabulary's often are, would share a few places of the caches.
  auto out = at::empty({rows, outputs + kPanel}, x.options());
  const std::int64_t stride = out.stride(0);
  auto* to = out.mutable_data_ptr<bf16>();
  const auto* weights = matrix.const_data_ptr<bf16>();
  for_each_task((panels + kTaskPanels - 1) / kTaskPanels, [&](std::int64_t task) {
    std::vector<bf16> panel(static_cast<std::size_t>(inputs * kPanel));
    for (std::int64_t p = task * kTaskPanels; p < std::min(panels, (task + 1) * kTaskPanels); ++p) {
      const std::int64_t begin = p * kPanel, width = std::min(kPanel, outputs - begin);
      row::pack_outputs([&](std::int64_t o) { return weights + (begin + o) * inputs; }, width, inputs, panel.data());
      for (std::int64_t first = 0; first < rows; first += kRowsAtOnce)
        row::multiply_panel(rows_at(x, first, 0), panel.data(), inputs, row::LowRankPanel{}, {to + first * stride + begin, stride, width});
    }
  });
  return out.narrow(1, 0, outputs);
}

at::Tensor multiply_back_by_panels(const at::Tensor& dy, const at::Tensor& matrix) {
  const std::int64_t rows = dy.size(0), outputs = matrix.size(0), inputs = matrix.size(1);
  check_rows(dy, outputs);
  auto out = at::empty({rows, inputs}, dy.options());
  auto* to = out.mutable_data_ptr<bf16>();
  const auto* weights = matrix.const_data_ptr<bf16>();
  at::parallel_for(0, panels_of(inputs), 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<bf16> panel(static_cast<std::size_t>(kDepth * kPanel));
    std::vector<float> sums(static_cast<std::size_t>((end - begin) * kRowsAtOnce * kPanel));
    const auto sums_of = [&](std::int64_t p) { return sums.data() + (p - begin) * kRowsAtOnce * kPanel; };
    const auto width_of = [&](std::int64_t p) { return std::min(kPanel, inputs - p * kPanel); };
    for (std::int64_t first = 0; first < rows; first += kRowsAtOnce) {
      for (std::int64_t at = 0; at < outputs; at += kDepth) {
        const std::int64_t depth = std::min(kDepth, outputs - at);
        for (std::int64_t p = begin; p < end; ++p) {
          row::pack_input_rows(weights + at * inputs + p * kPanel, inputs, depth, width_of(p), panel.data());
          row::multiply_panel(rows_at(dy, first, at), panel.data(), depth, {sums_of(p), kPanel}, at == 0 ? row::Start::zero : row::Start::onto);
        }
      }
      for (std::int64_t p = begin; p < end; ++p)
        for (std::int64_t r = first; r < std::min(rows, first + kRowsAtOnce); ++r)
          row::store(sums_of(p) + (r - first) * kPanel, to + r * inputs + p * kPanel, width_of(p));
    }
  });
  return out;
}

}  // namespace redoubt::engine::model
