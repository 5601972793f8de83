// SPDX-License-Identifier: Apache-2.0
//
// Where the time of one answer went.
#pragma once

#include <chrono>
#include <optional>

namespace redoubt::telemetry {

// As the engine says: until the request had a slot, until its first token, until its end.
struct EngineTimes {
  std::chrono::microseconds queue{}, prefill{}, decode{};
};

struct AnswerTimes {
  std::chrono::microseconds waited{};  // until a worker was asked
  std::chrono::microseconds worked{};  // from then until its last line
  std::optional<EngineTimes> engine = {};
};

}  // namespace redoubt::telemetry
