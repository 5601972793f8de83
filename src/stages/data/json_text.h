// SPDX-License-Identifier: Apache-2.0
//
// The string values of one JSON line, decoded, with the way back from a decoded byte to its place in the line: detectors
// match what a model would read ("\u0040" is "@"), findings name where it stands in the file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace redoubt::stages::data {

// What some editors put before a text; RFC 8259 has no place for it.
inline constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

struct JsonText {
  std::string text;                       // decoded, UTF-8
  std::vector<std::uint32_t> raw_offset;  // of each decoded byte in the line
};

// Every string literal of a line that has parsed as JSON, keys included.
std::vector<JsonText> string_literals(std::string_view line);

// The byte where a text stops being UTF-8 (RFC 3629: no overlong forms, no surrogates), or npos.
std::size_t first_invalid_utf8(std::string_view text);

}  // namespace redoubt::stages::data
