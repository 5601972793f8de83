// SPDX-License-Identifier: Apache-2.0
//
// Members of a service's answer, which may be absent.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/json.h"

namespace redoubt::provider::aws {

// Empty where there is none.
inline std::string text(const Json& object, const char* member) { return json_or(object, member, ""); }

// Answers have times as seconds since 1970.
inline std::optional<TimePoint> time_of(const Json& object, const char* member) {
  const auto found = object.find(member);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return TimePoint(std::chrono::milliseconds(static_cast<std::int64_t>(found->get<double>() * 1000)));
}

}  // namespace redoubt::provider::aws
