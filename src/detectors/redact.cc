// SPDX-License-Identifier: Apache-2.0
#include "detectors/redact.h"

#include <algorithm>

#include "detectors/kinds.h"

namespace redoubt::detectors {
namespace {

std::string placeholder(std::string_view kind) {
  const Kind* known = find_kind(kind);
  return known != nullptr && known->group == Group::hidden ? "" : "<" + std::string(kind) + ">";
}

// What names the whole of several spans that overlap: hidden characters inside a match are the match's.
bool names_better(const Span& a, const Span& b) { return placeholder(b.kind).empty() && !placeholder(a.kind).empty(); }

}  // namespace

std::string without_spans(std::string_view line, std::vector<Span> spans) {
  std::stable_sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
  std::string out;
  std::size_t at = 0;
  for (std::size_t i = 0; i < spans.size();) {
    Span whole = spans[i++];
    for (; i < spans.size() && spans[i].begin < whole.end; ++i) {
      if (spans[i].end > whole.end || (spans[i].begin == whole.begin && spans[i].end == whole.end && whole.quote.empty())) whole.quote = spans[i].begin == whole.begin ? spans[i].quote : "";
      whole.end = std::max(whole.end, spans[i].end);
      if (names_better(spans[i], whole)) whole.kind = spans[i].kind;
    }
    out += line.substr(at, whole.begin - at);
    out += whole.quote + placeholder(whole.kind) + whole.quote;
    at = whole.end;
  }
  out += line.substr(at);
  return out;
}

}  // namespace redoubt::detectors
