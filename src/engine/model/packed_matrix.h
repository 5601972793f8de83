// SPDX-License-Identifier: Apache-2.0
//
// A weight matrix laid out for generation (packed_products.h): read from end to end for each token, in pages as large as the machine
// has, and multiplied with any number of rows without being unpacked.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/model/low_rank.h"
#include "engine/model/packed_products.h"
#include "engine/model/quantised.h"
#include "engine/torch.h"

namespace redoubt::engine::model {

// Large ones for what is read once a token: in small ones a pass over a model takes twice as long. Small ones for what is multiplied with
// many rows at a time, where that does not count: where a host takes free memory back from its guest, large ones come at 0.4 GB/s, small ones at 2.
enum class Pages { large, small };

// Uninitialised memory for many matrices. A copy shares it.
class PackedMemory {
 public:
  PackedMemory() = default;
  PackedMemory(std::size_t bytes, Pages pages);
  std::byte* take(std::size_t bytes);  // of what is left

 private:
  std::shared_ptr<std::byte> memory_;
  std::size_t bytes_ = 0, taken_ = 0;
};

class PackedMatrix {
 public:
  PackedMatrix() = default;
  // bf16 or fp32 [outputs, inputs], or one in 8 bits. The memory must outlive the matrix.
  PackedMatrix(const at::Tensor& matrix, PackedMemory& memory);
  PackedMatrix(const QuantisedMatrix& matrix, PackedMemory& memory);
  static std::size_t bytes(const at::Tensor& matrix);
  static std::size_t bytes(const QuantisedMatrix& matrix);

  bool defined() const { return panels_ != nullptr; }
  std::int64_t outputs() const { return outputs_; }
  std::int64_t inputs() const { return inputs_; }

  // Bytes of a row of inputs in the form in which it is multiplied, a multiple of 64.
  std::size_t prepared_bytes() const;
  void prepare(const float* x, std::byte* to) const;
  // `rows` prepared rows, one behind the other, times outputs `begin` to `end`; `begin` is a multiple of 32, and so is `end` where it
  // is not the last. out [rows, stride] begins with output `begin`. A row's results do not depend on the others.
  void multiply(const std::byte* prepared, std::int64_t rows, std::int64_t begin, std::int64_t end, float* out, std::int64_t stride) const;

  // x W^T for x [rows, inputs], in x's type.
  at::Tensor multiply(const at::Tensor& x) const;
  // The same plus `more`, summed in fp32 before it is rounded. Only where can_add(low): bf16 of an even rank.
  at::Tensor multiply(const at::Tensor& x, const LowRank& more) const;
  static bool can_add(const at::Tensor& low) { return low.scalar_type() == at::kBFloat16 && low.size(1) % 2 == 0 && row::best_vectors() == row::Vectors::avx512_bf16; }

 private:
  enum class Kind { fp32, bf16, int8 };
  PackedMatrix(Kind kind, std::int64_t outputs, std::int64_t inputs, PackedMemory& memory);
  static std::size_t bytes(Kind kind, std::int64_t outputs, std::int64_t inputs);
  static std::int64_t padded(Kind kind, std::int64_t inputs);
  bool takes_bf16() const;
  at::Tensor multiply(const at::Tensor& x, const LowRank* more) const;
  void multiply_panel(std::int64_t panel, const std::byte* prepared, std::size_t stride, std::int64_t rows, row::Sums out) const;

  Kind kind_ = Kind::bf16;
  std::int64_t outputs_ = 0, inputs_ = 0, padded_ = 0;
  const std::byte* panels_ = nullptr;
  const row::bf16* scales_ = nullptr;  // for int8, of each panel's groups
};

}  // namespace redoubt::engine::model
