// SPDX-License-Identifier: Apache-2.0
//
// Byte strings, their text forms, and the 32-byte digest that names everything Redoubt stores.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using MutableByteView = std::span<std::uint8_t>;

inline ByteView view_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }
inline Bytes to_bytes(std::string_view text) { return {text.begin(), text.end()}; }
inline std::string_view text_of(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
inline std::string to_text(ByteView bytes) { return std::string(text_of(bytes)); }

// Lower-case hexadecimal, two digits a byte; from_hex takes both cases and refuses anything else.
std::string to_hex(ByteView bytes);
Result<Bytes> from_hex(std::string_view hex);

// RFC 4648 section 4 (with padding) and section 5 (URL-safe, without). Decoding is strict: no white space, no stray bits.
std::string to_base64(ByteView bytes);
std::string to_base64url(ByteView bytes);
Result<Bytes> from_base64(std::string_view text);
Result<Bytes> from_base64url(std::string_view text);

// A SHA-256 value. Its text form is 64 hexadecimal digits; `tagged` puts "sha256:" before them, as OCI writes digests.
struct Digest {
  std::array<std::uint8_t, 32> value{};

  auto operator<=>(const Digest&) const = default;
  ByteView bytes() const { return value; }
  std::string hex() const { return to_hex(value); }
  std::string tagged() const { return "sha256:" + hex(); }
  // Takes 64 hexadecimal digits with or without "sha256:"; anything else is invalid_argument.
  static Result<Digest> parse(std::string_view text);
};

}  // namespace redoubt
