// SPDX-License-Identifier: Apache-2.0
//
// The string values of one JSON line, decoded, with the way back from a decoded byte to its place in the line: detectors
// match what a model would read ("\u0040" is "@"), findings name where it stands in the file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "detectors/offset_map.h"

namespace redoubt::detectors {

struct JsonText {
  std::string text;  // decoded, UTF-8
  OffsetMap places;  // of each decoded byte in the line
};

// Every string literal of a line that has parsed as JSON, keys included. A literal that is itself JSON with escapes in it (the
// arguments of a call, say) is followed by its own literals, up to four levels deep.
std::vector<JsonText> string_literals(std::string_view line);
// The same one after the other; each is good until the next one is told.
void for_each_literal(std::string_view line, const std::function<void(const JsonText&)>& each);

}  // namespace redoubt::detectors
