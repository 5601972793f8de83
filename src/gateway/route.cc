// SPDX-License-Identifier: Apache-2.0
#include "gateway/route.h"

#include "http/message.h"

namespace redoubt::gateway {
namespace {

// The first segment of a path, which is taken off with its '/'.
std::string_view take_segment(std::string_view& path) {
  path.remove_prefix(1);
  const auto segment = path.substr(0, path.find('/'));
  path.remove_prefix(segment.size());
  return segment;
}

}  // namespace

bool matches(std::string_view pattern, std::string_view path) {
  if (pattern.find('{') == pattern.npos) return pattern == path;
  while (!pattern.empty() && !path.empty()) {
    const auto wanted = take_segment(pattern), given = take_segment(path);
    if (wanted.starts_with('{') ? given.empty() : wanted != given) return false;
  }
  return pattern.empty() && path.empty();
}

std::string segment_of(std::string_view pattern, std::string_view path) {
  while (!pattern.empty() && !path.empty()) {
    const auto wanted = take_segment(pattern), given = take_segment(path);
    if (wanted.starts_with('{')) return http::percent_decode(given).value_or("");
  }
  return "";
}

}  // namespace redoubt::gateway
