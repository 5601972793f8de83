// SPDX-License-Identifier: Apache-2.0
#include "engine/model/packed_matrix.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/model/layer_math.h"
#include "engine/model/panels.h"

namespace redoubt::engine::model {
namespace {

using row::kRowsAtOnce;
using row::panels_of;

constexpr std::size_t kLargePage = std::size_t{2} << 20, kLine = 64;

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// One panel of `group` inputs side by side: [inputs / group][outputs][group]; what is beyond the matrix is 0.
template <class T>
void pack_panel(const T* from, std::int64_t outputs, std::int64_t inputs, std::int64_t padded, std::int64_t group, T* to) {
  for (std::int64_t k = 0; k < padded; ++k)
    for (std::int64_t o = 0; o < row::kPanel; ++o)
      to[(k / group * row::kPanel + o) * group + k % group] = o < outputs && k < inputs ? from[o * inputs + k] : T{};
}

// The same for a whole panel of pairs, of rows that lie `stride` apart.
void pack_pairs(const row::bf16* from, std::int64_t stride, std::int64_t inputs, row::bf16* to) {
  row::pack_outputs([&](std::int64_t o) { return from + o * stride; }, row::kPanel, inputs, to);
}

// A panel of a transposed matrix, whose inputs lie `stride` apart and whose outputs side by side.
void pack_rows(const row::bf16* from, std::int64_t stride, std::int64_t inputs, row::bf16* to) {
  row::pack_input_rows(from, stride, inputs, row::kPanel, to);
}

template <class F>
void for_panels(std::int64_t outputs, F f) {
  at::parallel_for(0, panels_of(outputs), 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto p = begin; p < end; ++p) f(p);
  });
}

template <class T>
void pack(const T* from, std::int64_t outputs, std::int64_t inputs, std::int64_t padded, std::int64_t group, T* to) {
  for_panels(outputs, [&](std::int64_t p) {
    const auto* rows = from + p * row::kPanel * inputs;
    auto* panel = to + p * row::kPanel * padded;
    const auto count = std::min(row::kPanel, outputs - p * row::kPanel);
    if constexpr (std::is_same_v<T, row::bf16>)
      if (group == 2 && count == row::kPanel && inputs % 2 == 0) return pack_pairs(rows, inputs, inputs, panel);
    pack_panel(rows, count, inputs, padded, group, panel);
  });
}

bool lies_transposed(const at::Tensor& matrix) {
  return matrix.scalar_type() == at::kBFloat16 && matrix.stride(0) == 1 && matrix.stride(1) >= matrix.size(0) && matrix.size(0) % row::kPanel == 0 && matrix.size(1) % 2 == 0;
}

// Panels of a factor as they are needed, for one thread.
class FactorPanel {
 public:
  explicit FactorPanel(const LowRank& more)
      : more_(more), factor_(more.factor), low_(more.low.const_data_ptr<row::bf16>()), rank_(more.factor.size(1)),
        panel_(static_cast<std::size_t>(row::kPanel * rank_)) {}
  void take(std::int64_t panel) {
    const auto first = panel * row::kPanel, width = std::min(row::kPanel, factor_.size(0) - first);
    find_ranks(first, first + width);
    const auto ranks = end_ - begin_;
    const auto* from = factor_.const_data_ptr<row::bf16>() + first * factor_.stride(0) + begin_ * factor_.stride(1);
    if (width == row::kPanel && factor_.stride(1) == 1) return pack_pairs(from, factor_.stride(0), ranks, panel_.data());
    if (width == row::kPanel && factor_.stride(0) == 1) return pack_rows(from, factor_.stride(1), ranks, panel_.data());
    for (std::int64_t k = 0; k < ranks; ++k)
      for (std::int64_t o = 0; o < row::kPanel; ++o)
        panel_[static_cast<std::size_t>((k / 2 * row::kPanel + o) * 2 + k % 2)] = o < width ? from[o * factor_.stride(0) + k * factor_.stride(1)] : row::bf16{};
  }

  row::LowRankPanel of(std::int64_t first) const { return {low_ + first * rank_ + begin_, panel_.data(), end_ - begin_, rank_}; }
  void add(std::int64_t first, std::int64_t rows, row::Sums to) const {
    row::multiply_panel({low_ + first * rank_ + begin_, rows, rank_}, panel_.data(), end_ - begin_, to, row::Start::onto);
  }

 private:
  // The ranks that the outputs `first` to `end` - 1 have, whole pairs of them.
  void find_ranks(std::int64_t first, std::int64_t end) {
    begin_ = more_.bands.empty() ? 0 : rank_;
    end_ = more_.bands.empty() ? rank_ : 0;
    for (const auto& band : more_.bands) {
      if (band.output >= end || band.output + band.outputs <= first) continue;
      begin_ = std::min(begin_, band.rank / 2 * 2);
      end_ = std::max(end_, (band.rank + band.ranks + 1) / 2 * 2);
    }
    begin_ = std::min(begin_, end_);
  }

  const LowRank& more_;
  const at::Tensor& factor_;
  const row::bf16* low_;
  const std::int64_t rank_;
  std::int64_t begin_ = 0, end_ = 0;  // the ranks of the panel
  std::vector<row::bf16> panel_;
};

}  // namespace

PackedMemory::PackedMemory(std::size_t bytes, Pages pages) : bytes_(round_up(bytes, kLargePage)) {
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kLargePage, bytes_));
  if (memory == nullptr) throw std::bad_alloc();
  memory_ = {memory, &std::free};
  if (pages == Pages::large) ::madvise(memory, bytes_, MADV_HUGEPAGE);  // a machine without them computes the same
}

std::byte* PackedMemory::take(std::size_t bytes) {
  CHECK(taken_ + bytes <= bytes_);
  return memory_.get() + std::exchange(taken_, taken_ + bytes);
}

std::int64_t PackedMatrix::padded(Kind kind, std::int64_t inputs) {
  const auto multiple = kind == Kind::int8 ? row::kInt8Group : 2;
  return (inputs + multiple - 1) / multiple * multiple;
}

std::size_t PackedMatrix::bytes(Kind kind, std::int64_t outputs, std::int64_t inputs) {
  const auto value = kind == Kind::fp32 ? sizeof(float) : kind == Kind::bf16 ? sizeof(row::bf16) : 1;
  const auto rows = static_cast<std::size_t>(panels_of(outputs) * row::kPanel);
  return rows * static_cast<std::size_t>(padded(kind, inputs)) * value + (kind == Kind::int8 ? rows * static_cast<std::size_t>(padded(kind, inputs) / row::kInt8Group) * sizeof(row::bf16) : 0);
}

std::size_t PackedMatrix::bytes(const at::Tensor& matrix) { return bytes(matrix.scalar_type() == at::kFloat ? Kind::fp32 : Kind::bf16, matrix.size(0), matrix.size(1)); }
std::size_t PackedMatrix::bytes(const QuantisedMatrix& matrix) { return bytes(Kind::int8, matrix.outputs(), matrix.inputs()); }

PackedMatrix::PackedMatrix(const at::Tensor& matrix, PackedMemory& memory)
    : kind_(matrix.scalar_type() == at::kFloat ? Kind::fp32 : Kind::bf16), outputs_(matrix.size(0)), inputs_(matrix.size(1)), padded_(padded(kind_, inputs_)) {
  auto* place = memory.take(bytes(kind_, outputs_, inputs_));
  panels_ = place;
  if (lies_transposed(matrix)) {
    auto* to = reinterpret_cast<row::bf16*>(place);
    const auto* from = matrix.const_data_ptr<row::bf16>();
    for_panels(outputs_, [&](std::int64_t p) { pack_rows(from + p * row::kPanel, matrix.stride(1), inputs_, to + p * row::kPanel * padded_); });
    return;
  }
  const auto whole = matrix.contiguous();
  if (kind_ == Kind::fp32) pack(whole.const_data_ptr<float>(), outputs_, inputs_, padded_, 1, reinterpret_cast<float*>(place));
  else pack(whole.const_data_ptr<row::bf16>(), outputs_, inputs_, padded_, 2, reinterpret_cast<row::bf16*>(place));
}

PackedMatrix::PackedMatrix(const QuantisedMatrix& matrix, PackedMemory& memory)
    : kind_(Kind::int8), outputs_(matrix.outputs()), inputs_(matrix.inputs()), padded_(padded(kind_, inputs_)) {
  auto* place = memory.take(bytes(kind_, outputs_, inputs_));
  panels_ = place;
  const auto groups = padded_ / row::kInt8Group;
  auto* scales = reinterpret_cast<row::bf16*>(place + panels_of(outputs_) * row::kPanel * padded_);
  pack(matrix.int8_values(), outputs_, inputs_, padded_, 2, reinterpret_cast<std::int8_t*>(place));
  pack(matrix.int8_scales(), outputs_, groups, groups, 1, scales);
  scales_ = scales;
}

bool PackedMatrix::takes_bf16() const { return kind_ == Kind::bf16 && row::best_vectors() == row::Vectors::avx512_bf16; }

std::size_t PackedMatrix::prepared_bytes() const {
  const auto n = static_cast<std::size_t>(padded_);
  if (kind_ == Kind::int8) return round_up(n * sizeof(std::int16_t) + n / row::kInt8Group * sizeof(float), kLine);
  return round_up(n * (takes_bf16() ? sizeof(row::bf16) : sizeof(float)), kLine);
}

void PackedMatrix::prepare(const float* x, std::byte* to) const {
  if (kind_ == Kind::int8) {
    auto* values = reinterpret_cast<std::int16_t*>(to);
    return row::round_to_int16(x, inputs_, values, reinterpret_cast<float*>(values + padded_));
  }
  const auto fill = [&](auto* values) {
    row::store(x, values, inputs_);
    std::fill(values + inputs_, values + padded_, 0.0f);
  };
  if (takes_bf16()) fill(reinterpret_cast<row::bf16*>(to));
  else fill(reinterpret_cast<float*>(to));
}

void PackedMatrix::multiply_panel(std::int64_t panel, const std::byte* prepared, std::size_t stride, std::int64_t rows, row::Sums out) const {
  const auto vectors = row::best_vectors();
  const auto place = panel * row::kPanel * padded_;
  const auto in_elements = [&](std::size_t size) { return static_cast<std::int64_t>(stride / size); };
  if (kind_ == Kind::int8) {
    const auto* values = reinterpret_cast<const std::int16_t*>(prepared);
    const row::Int16Rows x{values, reinterpret_cast<const float*>(values + padded_), rows, in_elements(sizeof *values), in_elements(sizeof(float))};
    return row::multiply_panel(vectors, x, reinterpret_cast<const std::int8_t*>(panels_) + place, scales_ + place / row::kInt8Group, padded_, out);
  }
  if (takes_bf16())
    return row::multiply_panel({reinterpret_cast<const row::bf16*>(prepared), rows, in_elements(sizeof(row::bf16))}, reinterpret_cast<const row::bf16*>(panels_) + place, padded_, out);
  const row::Rows<float> x{reinterpret_cast<const float*>(prepared), rows, in_elements(sizeof(float))};
  if (kind_ == Kind::fp32) row::multiply_panel(vectors, x, reinterpret_cast<const float*>(panels_) + place, padded_, out);
  else row::multiply_panel(vectors, x, reinterpret_cast<const row::bf16*>(panels_) + place, padded_, out);
}

void PackedMatrix::multiply(const std::byte* prepared, std::int64_t rows, std::int64_t begin, std::int64_t end, float* out, std::int64_t stride) const {
  for (auto at = begin; at < end; at += row::kPanel, out += row::kPanel) {
    const auto panel = at / row::kPanel, width = std::min(row::kPanel, outputs_ - at);
    if (width == row::kPanel) {
      multiply_panel(panel, prepared, prepared_bytes(), rows, {out, stride});
      continue;
    }
    std::vector<float> whole(static_cast<std::size_t>(rows * row::kPanel));
    multiply_panel(panel, prepared, prepared_bytes(), rows, {whole.data(), row::kPanel});
    for (std::int64_t r = 0; r < rows; ++r) std::copy_n(whole.data() + r * row::kPanel, width, out + r * stride);
  }
}

at::Tensor PackedMatrix::multiply(const at::Tensor& x) const { return multiply(x, nullptr); }

at::Tensor PackedMatrix::multiply(const at::Tensor& x, const LowRank& more) const {
  CHECK(can_add(more.low) && more.low.is_contiguous() && more.factor.scalar_type() == at::kBFloat16);
  return multiply(x, &more);
}

at::Tensor PackedMatrix::multiply(const at::Tensor& x, const LowRank* more) const {
  const auto rows = x.size(0);
  auto out = at::empty({rows, outputs_}, x.options());
  with_type_of(x, [&](auto type) {
    using T = decltype(type);
    const auto from = x.contiguous();
    const T* values = from.template const_data_ptr<T>();
    T* to = out.template mutable_data_ptr<T>();
    // Rows that are as they are multiplied need no copy.
    const bool ready = std::is_same_v<T, row::bf16> ? takes_bf16() && padded_ == inputs_ : kind_ == Kind::fp32 && padded_ == inputs_;
    const auto stride = ready ? static_cast<std::size_t>(inputs_) * sizeof(T) : prepared_bytes();
    const auto copy = ready ? at::Tensor() : at::empty({rows * static_cast<std::int64_t>(stride)}, at::kByte);
    const auto* prepared = reinterpret_cast<const std::byte*>(ready ? static_cast<const void*>(values) : copy.const_data_ptr());
    if (!ready)
      at::parallel_for(0, rows, grain_of(inputs_), [&](std::int64_t begin, std::int64_t end) {
        std::vector<float> wide(static_cast<std::size_t>(inputs_));
        for (auto r = begin; r < end; ++r) {
          row::load(values + r * inputs_, wide.data(), inputs_);
          prepare(wide.data(), static_cast<std::byte*>(copy.mutable_data_ptr()) + static_cast<std::size_t>(r) * stride);
        }
      });
    // bf16 of bf16 never lies in memory as fp32 sums.
    const bool rounded = std::is_same_v<T, row::bf16> && takes_bf16();
    at::parallel_for(0, panels_of(outputs_), 1, [&](std::int64_t begin, std::int64_t end) {
      std::array<float, kRowsAtOnce * row::kPanel> sums;
      std::optional<FactorPanel> factor;
      if (more) factor.emplace(*more);
      for (std::int64_t first = 0; first < rows; first += kRowsAtOnce)
        for (auto p = begin; p < end; ++p) {
          const auto count = std::min(kRowsAtOnce, rows - first), width = std::min(row::kPanel, outputs_ - p * row::kPanel);
          const auto* some = prepared + static_cast<std::size_t>(first) * stride;
          T* place = to + first * outputs_ + p * row::kPanel;
          if (factor) factor->take(p);
          if constexpr (std::is_same_v<T, row::bf16>)
            if (rounded) {
              const row::Rows<row::bf16> in{reinterpret_cast<const row::bf16*>(some), count, static_cast<std::int64_t>(stride / sizeof(row::bf16))};
              const auto* panel = reinterpret_cast<const row::bf16*>(panels_) + p * row::kPanel * padded_;
              row::multiply_panel(in, panel, padded_, factor ? factor->of(first) : row::LowRankPanel{}, {place, outputs_, width}, p + 1 < end ? panel + row::kPanel * padded_ : nullptr);
              continue;
            }
          multiply_panel(p, some, stride, count, {sums.data(), row::kPanel});
          if (factor) factor->add(first, count, {sums.data(), row::kPanel});
          for (std::int64_t r = 0; r < count; ++r) row::store(sums.data() + r * row::kPanel, place + r * outputs_, width);
        }
    });
  });
  return out;
}

}  // namespace redoubt::engine::model
