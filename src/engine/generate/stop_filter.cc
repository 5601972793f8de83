// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/stop_filter.h"

#include <algorithm>

namespace redoubt::engine::generate {
namespace {

// The size of the longest end of `text` that begins `stop` without being all of it.
std::size_t begun(std::string_view text, std::string_view stop) {
  for (auto size = std::min(text.size(), stop.size() - 1); size > 0; --size)
    if (text.ends_with(stop.substr(0, size))) return size;
  return 0;
}

}  // namespace

std::string StopFilter::push(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  auto first = std::string::npos;
  std::size_t hold = 0;
  for (const auto& stop : stops_) {
    first = std::min(first, held_.find(stop));
    hold = std::max(hold, begun(held_, stop));
  }
  stopped_ = first != std::string::npos;
  auto out = held_.substr(0, stopped_ ? first : held_.size() - hold);
  held_.erase(0, stopped_ ? held_.size() : out.size());
  return out;
}

std::string StopFilter::finish() { return std::exchange(held_, {}); }

}  // namespace redoubt::engine::generate
