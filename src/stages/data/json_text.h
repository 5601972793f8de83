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

struct JsonText {
  std::string text;                       // decoded, UTF-8
  std::vector<std::uint32_t> raw_offset;  // of each decoded byte in the line
};

// Every string literal of a line that has parsed as JSON, keys included.
std::vector<JsonText> string_literals(std::string_view line);

}  // namespace redoubt::stages::data
