// SPDX-License-Identifier: Apache-2.0
#include "engine/model/quantised.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/model/layer_math.h"
#include "engine/model/packed_products.h"
#include "engine/model/row_products.h"

namespace redoubt::engine::model {
namespace {

constexpr std::int64_t kGroup = row::kInt4Group, kGroupBytes = kGroup / 2;
constexpr std::int64_t kDirectRowsMax = 8;  // beyond, the matrix is made dense for one large product

std::int64_t int8_groups(std::int64_t inputs) { return (inputs + row::kInt8Group - 1) / row::kInt8Group; }

void quantise_row(const float* from, std::int64_t n, std::int8_t* to, row::bf16* scales) {
  for (std::int64_t begin = 0; begin < n; begin += row::kInt8Group) {
    const std::int64_t end = std::min(n, begin + row::kInt8Group);
    float most = 0;
    for (auto i = begin; i < end; ++i) most = std::max(most, std::abs(from[i]));
    const row::bf16 rounded = scales[begin / row::kInt8Group] = most / 127;
    const float scale = rounded;
    for (auto i = begin; i < end; ++i)
      to[i] = scale > 0 ? static_cast<std::int8_t>(std::lround(std::clamp(from[i] / scale, -127.0f, 127.0f))) : std::int8_t{0};
  }
}

// The squared error of a group with a scale; `codes` receives its values + 8.
float try_scale(const float* from, float scale, std::uint8_t* codes) {
  float error = 0;
  for (std::int64_t i = 0; i < kGroup; ++i) {
    const float value = std::clamp(std::round(from[i] / scale), -8.0f, 7.0f), off = from[i] - value * scale;
    codes[i] = static_cast<std::uint8_t>(value + 8);
    error += off * off;
  }
  return error;
}

void quantise_group(const float* from, std::uint8_t* to, row::bf16& scale) {
  float extreme = 0;
  for (std::int64_t i = 0; i < kGroup; ++i)
    if (std::abs(from[i]) > std::abs(extreme)) extreme = from[i];
  std::uint8_t best[kGroup], codes[kGroup];
  std::fill_n(best, kGroup, std::uint8_t{8});
  scale = 0;
  // The extreme value at -8, or a little outside so that the many small ones are nearer.
  float least = INFINITY;
  for (const float steps : {-8.9f, -8.5f, -8.2f, -8.0f, -7.7f, -7.4f, -7.0f, 7.0f, 7.4f}) {
    const auto tried = static_cast<row::bf16>(extreme / steps);
    if (static_cast<float>(tried) == 0) continue;
    const float error = try_scale(from, static_cast<float>(tried), codes);
    if (error >= least) continue;
    least = error;
    scale = tried;
    std::copy_n(codes, kGroup, best);
  }
  for (std::int64_t i = 0; i < kGroupBytes; ++i) to[i] = static_cast<std::uint8_t>(best[i] | best[i + kGroupBytes] << 4);
}

}  // namespace

Result<WeightFormat> parse_weight_format(std::string_view name) {
  if (name == "bf16") return WeightFormat::as_loaded;
  if (name == "int8") return WeightFormat::int8;
  if (name == "int4") return WeightFormat::int4;
  return fail(ErrorCode::invalid_argument, "weights must be bf16, int8 or int4", "weights");
}

const char* to_string(WeightFormat format) {
  return format == WeightFormat::int8 ? "int8" : format == WeightFormat::int4 ? "int4" : "bf16";
}

std::int64_t QuantisedMatrix::bytes_of(std::int64_t outputs, std::int64_t inputs, WeightFormat format) {
  constexpr std::int64_t kScaleBytes = sizeof(row::bf16);
  const bool is_int4 = format == WeightFormat::int4;
  return outputs * (is_int4 ? inputs / 2 + inputs / kGroup * kScaleBytes : inputs + int8_groups(inputs) * kScaleBytes);
}

QuantisedMatrix QuantisedMatrix::of(const at::Tensor& matrix, WeightFormat format) {
  CHECK(format != WeightFormat::as_loaded && matrix.dim() == 2 && matrix.is_contiguous() && (format == WeightFormat::int8 || matrix.size(1) % kGroup == 0));
  QuantisedMatrix out;
  const auto outputs = matrix.size(0), inputs = out.inputs_ = matrix.size(1);
  const bool is_int4 = format == WeightFormat::int4;
  out.values_ = at::empty({outputs, is_int4 ? inputs / 2 : inputs}, is_int4 ? at::kByte : at::kChar);
  const auto groups = is_int4 ? inputs / kGroup : int8_groups(inputs);
  out.scales_ = at::empty({outputs, groups}, at::kBFloat16);
  at::parallel_for(0, outputs, grain_of(inputs), [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> wide(static_cast<std::size_t>(inputs));
    for (auto r = begin; r < end; ++r) {
      const float* from = wide.data();
      with_type_of(matrix, [&](auto type) { row::load(matrix.const_data_ptr<decltype(type)>() + r * inputs, wide.data(), inputs); });
      if (!is_int4) {
        quantise_row(from, inputs, out.values_.mutable_data_ptr<std::int8_t>() + r * inputs, out.scales_.mutable_data_ptr<row::bf16>() + r * groups);
        continue;
      }
      for (std::int64_t g = 0; g < inputs / kGroup; ++g)
        quantise_group(from + g * kGroup, out.values_.mutable_data_ptr<std::uint8_t>() + r * inputs / 2 + g * kGroupBytes,
                       out.scales_.mutable_data_ptr<row::bf16>()[r * groups + g]);
    }
  });
  return out;
}

void QuantisedMatrix::multiply_rows(const float* x, const float* group_sums, std::int64_t begin, std::int64_t end, float* out) const {
  if (is_int4())
    return row::multiply_rows_int4(x, group_sums, values_.const_data_ptr<std::uint8_t>() + begin * inputs_ / 2,
                                   scales_.const_data_ptr<row::bf16>() + begin * inputs_ / kGroup, inputs_, end - begin, out);
  std::vector<float> wide(static_cast<std::size_t>(inputs_));
  for (auto r = begin; r < end; ++r) {
    load_row(r, wide.data());
    out[r - begin] = row::dot(x, wide.data(), inputs_);
  }
}

void QuantisedMatrix::load_row(std::int64_t row, float* to) const {
  if (is_int4())
    row::load_int4(values_.const_data_ptr<std::uint8_t>() + row * inputs_ / 2, scales_.const_data_ptr<row::bf16>() + row * inputs_ / kGroup, to, inputs_);
  else
    row::load_int8(int8_values() + row * inputs_, int8_scales() + row * int8_groups(inputs_), to, inputs_);
}

void QuantisedMatrix::write_dense(std::int64_t begin, at::Tensor& out) const {
  with_type_of(out, [&](auto element) {
    auto* to = out.mutable_data_ptr<decltype(element)>();
    at::parallel_for(0, out.size(0), grain_of(inputs_), [&](std::int64_t first, std::int64_t last) {
      std::vector<float> wide(static_cast<std::size_t>(inputs_));
      for (std::int64_t r = first; r < last; ++r) {
        load_row(begin + r, wide.data());
        row::store(wide.data(), to + r * out.stride(0), inputs_);
      }
    });
  });
}

at::Tensor QuantisedMatrix::dense(at::ScalarType type, std::int64_t begin, std::int64_t rows) const {
  auto out = at::empty({rows, inputs_}, type);
  write_dense(begin, out);
  return out;
}

at::Tensor QuantisedMatrix::dense_in_buffer(at::ScalarType type) const {
  auto out = product_buffer(outputs(), inputs_, type);
  write_dense(0, out);
  return out;
}

at::Tensor QuantisedMatrix::multiply(const at::Tensor& x, const LowRank* more) const {
  if (x.size(0) <= kDirectRowsMax) return multiply_few(x, more);
  const auto type = product_type(x);
  if (!more) return at::linear(x.to(type), dense_in_buffer(type)).to(x.scalar_type());
  // One product: what it sums is rounded once.
  auto both = product_buffer(outputs(), inputs_ + more->factor.size(1), type);
  auto weights = both.narrow(1, 0, inputs_);
  write_dense(0, weights);
  both.narrow(1, inputs_, more->factor.size(1)).copy_(more->factor);
  return at::linear(at::cat({x.to(type), more->low.to(type)}, 1), both).to(x.scalar_type());
}

at::Tensor QuantisedMatrix::multiply_back(const at::Tensor& y, const LowRank& more) const {
  const auto type = product_type(y);
  auto both = product_buffer(outputs() + more.factor.size(1), inputs_, type);
  auto weights = both.narrow(0, 0, outputs());
  write_dense(0, weights);
  both.narrow(0, outputs(), more.factor.size(1)).copy_(more.factor.t());
  return at::mm(at::cat({y.to(type), more.low.to(type)}, 1), both).to(y.scalar_type());
}

at::Tensor QuantisedMatrix::multiply_few(const at::Tensor& x, const LowRank* more) const {
  const auto rows = x.size(0);
  const auto wide = x.to(at::kFloat).contiguous();
  auto out = at::empty({rows, outputs()}, at::kFloat);
  const auto group_sums = at::empty({rows, inputs_ / kGroup + 1}, at::kFloat);
  const float* from = wide.const_data_ptr<float>();
  float *to = out.mutable_data_ptr<float>(), *sums = group_sums.mutable_data_ptr<float>();
  if (is_int4())
    for (std::int64_t r = 0; r < rows; ++r) row::sum_groups(from + r * inputs_, inputs_, sums + r * group_sums.size(1));
  constexpr std::int64_t kBlock = 16;  // matrix rows that stay near while each vector takes them
  at::parallel_for(0, outputs(), std::max<std::int64_t>(kBlock, 65536 / inputs_), [&](std::int64_t begin, std::int64_t end) {
    for (auto at = begin; at < end; at += kBlock)
      for (std::int64_t r = 0; r < rows; ++r)
        multiply_rows(from + r * inputs_, sums + r * group_sums.size(1), at, std::min(at + kBlock, end), to + r * outputs() + at);
  });
  if (more) out.addmm_(more->low.to(at::kFloat), more->factor.to(at::kFloat).t());
  return out.to(x.scalar_type());
}

}  // namespace redoubt::engine::model
