// SPDX-License-Identifier: Apache-2.0
//
// Numbers and strings out of a GGUF header, one after another. Nothing is allocated before the file is known to hold it.
#pragma once

#include <cstring>
#include <string>
#include <type_traits>

#include "base/stream.h"

namespace redoubt::weights {

class GgufReader {
 public:
  GgufReader(const RandomAccess& file, std::string where, std::uint64_t bytes_max)
      : file_(file), where_(std::move(where)), bytes_max_(bytes_max) {}

  std::uint64_t offset() const { return offset_; }
  // How much the file and the limit leave: an array that needs more is refused before it is read.
  std::uint64_t left() const;

  template <class T>
  Result<T> number() {
    static_assert(std::is_arithmetic_v<T>);
    T value{};
    TRY(take(MutableByteView(reinterpret_cast<std::uint8_t*>(&value), sizeof value)));
    return value;
  }
  // Eight bytes of length, then as many bytes of UTF-8.
  Result<std::string> text(std::uint64_t bytes_max);

 private:
  Status take(MutableByteView into);

  const RandomAccess& file_;
  std::string where_;
  std::uint64_t bytes_max_;
  std::uint64_t offset_ = 0;
  // A window of the file: a vocabulary is a hundred thousand short strings.
  Bytes window_;
  std::uint64_t window_start_ = 0;
};

// Whether the text is UTF-8 without surrogates or overlong forms.
bool is_utf8(std::string_view text);

}  // namespace redoubt::weights
