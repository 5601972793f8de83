// SPDX-License-Identifier: Apache-2.0
//
// Numbers read out of bytes at a place that may lie outside of them.
#pragma once

#include <optional>

#include "base/bytes.h"

namespace redoubt::packages {

// `length` bytes at `offset`; nothing where they do not all lie in `bytes`.
inline std::optional<ByteView> slice(ByteView bytes, std::uint64_t offset, std::uint64_t length) {
  if (offset > bytes.size() || length > bytes.size() - offset) return std::nullopt;
  return bytes.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(length));
}

enum class ByteOrder { little, big };

// An unsigned number of `size` bytes, at most 8.
inline std::optional<std::uint64_t> number_at(ByteView bytes, std::uint64_t offset, std::size_t size, ByteOrder order) {
  const auto part = slice(bytes, offset, size);
  if (!part) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value = value << 8 | (*part)[order == ByteOrder::big ? i : size - 1 - i];
  return value;
}
inline std::optional<std::uint64_t> little32(ByteView bytes, std::uint64_t offset) { return number_at(bytes, offset, 4, ByteOrder::little); }
inline std::optional<std::uint64_t> big32(ByteView bytes, std::uint64_t offset) { return number_at(bytes, offset, 4, ByteOrder::big); }

}  // namespace redoubt::packages
