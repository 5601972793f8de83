// SPDX-License-Identifier: Apache-2.0
//
// Takes matches out of a row that is JSON, as it is written: whatever else stands in the line stays as it is.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace redoubt::detectors {

// A match in a line, from the first byte that it is written with to the one after the last.
struct Span {
  std::string_view kind;
  std::size_t begin = 0, end = 0;
  std::string quote = {};  // that "<KIND>" stands in, where a number was
};

// In place of each span "<KIND>", of hidden characters nothing; spans that overlap are one, under the first one's kind, in quotes where the
// span that is all of it has some.
std::string without_spans(std::string_view line, std::vector<Span> spans);

}  // namespace redoubt::detectors
