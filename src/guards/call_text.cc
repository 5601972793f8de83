// SPDX-License-Identifier: Apache-2.0
#include "guards/call_text.h"

#include <algorithm>

#include "detectors/json_text.h"

namespace redoubt::guards {

CallText::CallText(std::string_view json) {
  std::size_t at = 0;
  detectors::for_each_literal(json, [&](const detectors::JsonText& literal) {
    const auto begin = literal.places.raw(0), end = literal.places.raw(literal.text.size());
    if (begin < at) return;  // a string within the one before
    add_between(json, at, begin);
    parts_.push_back({begin, end});
    stretches_.push_back({text_.size(), begin, literal.places, true});
    text_ += literal.text;
    at = end;
  });
  add_between(json, at, json.size());
}

// From behind a string, its quote included, to the next one's first byte.
void CallText::add_between(std::string_view json, std::size_t from, std::size_t to) {
  stretches_.push_back({text_.size(), from, {}, false});
  text_ += json.substr(from, to - from);
  detectors::for_each_number(json, from, to, [&](const detectors::Range& number) { parts_.push_back({number.begin, number.end, true}); });
}

std::size_t CallText::raw(std::size_t at) const {
  const auto after = std::upper_bound(stretches_.begin(), stretches_.end(), at, [](std::size_t place, const Stretch& stretch) { return place < stretch.at; });
  const auto& stretch = *std::prev(after);
  return stretch.is_string ? stretch.places.raw(at - stretch.at) : stretch.raw + (at - stretch.at);
}

}  // namespace redoubt::guards
