// SPDX-License-Identifier: Apache-2.0
//
// The GGUF format, versions 2 and 3, little-endian: metadata, the tensors' descriptions, padding, the tensors' bytes.
// What is accepted is a strict subset of what ggml reads (docs/formats/gguf.md): no duplicate keys or names, no nested
// arrays, tensors end to end but for the alignment's padding, nothing after the last one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/stream.h"

namespace redoubt::weights {

inline constexpr std::uint64_t kGgufHeaderBytesMax = 128 << 20;
inline constexpr std::uint64_t kGgufPairsMax = 65'536;
inline constexpr std::uint64_t kGgufTensorsMax = 65'536;
inline constexpr std::uint64_t kGgufStringBytesMax = 4 << 20;
inline constexpr std::uint64_t kGgufKeyBytesMax = 1'024;
// Over all arrays of a file, so that a small file cannot ask for much memory.
inline constexpr std::uint64_t kGgufElementsMax = 4'000'000;
inline constexpr std::uint32_t kGgufDimensionsMax = 4;

// The ways a tensor may be stored; the values are ggml's.
enum class GgufType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  bf16 = 30,
};

struct GgufBlock {
  const char* name;        // "Q4_1"
  std::uint32_t elements;  // how many numbers a block holds
  std::uint32_t bytes;     // in how many bytes
};
GgufBlock block_of(GgufType type);

// Integers of every width become one of the two 64-bit kinds, and both kinds of float become double.
using GgufValue = std::variant<bool, std::uint64_t, std::int64_t, double, std::string, std::vector<std::string>,
                               std::vector<std::int64_t>, std::vector<double>>;

struct GgufTensor {
  std::string name;
  GgufType type = GgufType::f32;
  std::vector<std::uint64_t> shape = {};  // rows first, as Hugging Face writes it: the reverse of the file's order
  std::uint64_t offset = 0;               // from the start of the file
  std::uint64_t bytes = 0;

  std::uint64_t columns() const { return shape.back(); }
  std::uint64_t row_bytes() const { return columns() / block_of(type).elements * block_of(type).bytes; }
  std::uint64_t rows() const { return bytes / row_bytes(); }
};

// The checked header of a file.
class GgufHeader {
 public:
  // Errors are invalid_argument, limit_exceeded or unsupported and name `where` and the key or tensor.
  static Result<GgufHeader> read(const RandomAccess& file, std::string where);

  const std::string& where() const { return where_; }
  const std::map<std::string, GgufTensor, std::less<>>& tensors() const { return tensors_; }

  std::vector<std::string> keys() const;
  bool has(std::string_view key) const { return metadata_.find(key) != metadata_.end(); }
  // The value of a key; not_found without it, invalid_argument when it is of another type. An integer may be of any width
  // and signedness but not negative; strings are UTF-8.
  Result<std::uint64_t> unsigned_number(std::string_view key) const;
  Result<double> number(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  Result<std::string> text(std::string_view key) const;
  Result<const std::vector<std::string>*> texts(std::string_view key) const;
  Result<const std::vector<std::int64_t>*> integers(std::string_view key) const;

 private:
  friend class GgufHeaderReader;
  template <class T>
  Result<const T*> get(std::string_view key, const char* kind) const;

  std::string where_;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::map<std::string, GgufTensor, std::less<>> tensors_;
};

}  // namespace redoubt::weights
