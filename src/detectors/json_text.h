// SPDX-License-Identifier: Apache-2.0
//
// The string values of one JSON line, decoded, with the way back from a decoded byte to its place in the line: detectors
// match what a model would read ("\u0040" is "@"), findings name where it stands in the file.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "detectors/offset_map.h"

namespace redoubt::detectors {

struct JsonText {
  std::string text;  // decoded, UTF-8
  OffsetMap places;  // of each decoded byte in the line
  int depth = 0;     // of strings that it stands in
  bool is_number = false;
};

// Every string literal of a line that has parsed as JSON, keys included. A literal that is itself JSON with escapes in it (the
// arguments of a call, say) is followed by its own literals, up to four levels deep.
std::vector<JsonText> string_literals(std::string_view line);
// The same one after the other; each is good until the next one is told.
void for_each_literal(std::string_view line, const std::function<void(const JsonText&)>& each);

// The same with the line's own numbers that are long enough to be somebody's without a word beside them.
void for_each_value(std::string_view line, const std::function<void(const JsonText&)>& each);

struct Range {
  std::size_t begin = 0, end = 0;
};
// The numbers of JSON between two places with no string between them.
template <typename Each>
void for_each_number(std::string_view json, std::size_t from, std::size_t to, const Each& each) {
  constexpr std::string_view kFirst = "-0123456789", kRest = "+-.0123456789Ee";
  json = json.substr(0, to);
  while ((from = json.find_first_of(kFirst, from)) != json.npos) {
    const std::size_t after = std::min(json.find_first_not_of(kRest, from), to);
    each(Range{from, after});
    from = after;
  }
}
// The numbers of a text that is JSON, in none of its strings; none of another text.
std::vector<Range> numbers_in(std::string_view text);
// The one of them that a match lies in. Whatever takes its place has to be a string, or the text is JSON no more.
std::optional<Range> number_around(const std::vector<Range>& numbers, std::size_t offset, std::size_t length);
// The quote of a string that lies in that many strings: "\"" in one.
std::string quote_at(int depth);

}  // namespace redoubt::detectors
