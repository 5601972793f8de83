// SPDX-License-Identifier: Apache-2.0
#include "gateway/scaling.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "gateway/settings.h"

namespace redoubt::gateway {
namespace {

constexpr std::int64_t kWorkersMax = 64, kScalingSecondsMax = 24 * 3600;

Status read_target(const Json& json, const char* key, double& value) {
  if (!json.contains(key)) return {};
  value = TRY(json_number(json, key, "scale"));
  if (value > 0 && value < 1e9) return {};
  return fail(ErrorCode::invalid_argument, "a target is above 0", std::string("scale.") + key);
}

int workers_for(double load, double target) { return target > 0 ? static_cast<int>(std::ceil(load / target)) : 0; }

}  // namespace

Result<ScaleOptions> ScaleOptions::from_json(const Json& json) {
  constexpr std::array kKnown = {"min", "max", "requests", "tokens_per_second", "queue_ms", "scale_in_s", "start_s_max"};
  for (const auto& [key, value] : json.items())
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end()) return fail(ErrorCode::invalid_argument, "the scale has no such setting", "scale." + key);
  ScaleOptions scale;
  TRY(read_count(json, "scale", "min", scale.min, 0, kWorkersMax));
  scale.max = std::max(1, scale.min);
  TRY(read_count(json, "scale", "max", scale.max, std::max(1, scale.min), kWorkersMax));
  TRY(read_target(json, "requests", scale.requests));
  TRY(read_target(json, "tokens_per_second", scale.tokens_per_second));
  TRY(read_count(json, "scale", "queue_ms", scale.queue_ms, 1, 1'000 * kScalingSecondsMax));
  TRY(read_count(json, "scale", "scale_in_s", scale.scale_in_s, 0, kScalingSecondsMax));
  TRY(read_count(json, "scale", "start_s_max", scale.start_s_max, 1, kScalingSecondsMax));
  const bool has_target = scale.requests > 0 || scale.tokens_per_second > 0 || scale.queue_ms > 0;
  if (scale.max > std::max(1, scale.min) && !has_target)
    return fail(ErrorCode::invalid_argument, "several workers need a target that says how many", "scale", "set requests, tokens_per_second or queue_ms");
  return scale;
}

int Scaling::needed(const Load& load) const {
  int needed = std::max({load.requests > 0 ? 1 : 0, workers_for(load.requests, options_.requests), workers_for(load.tokens_per_second, options_.tokens_per_second)});
  // The wait grows without bound where there are too few: twice as many at a time are enough.
  if (options_.queue_ms > 0 && load.queue_ms > options_.queue_ms)
    needed = std::max(needed, std::min(2 * std::max(1, load.workers), workers_for(std::max(1, load.workers) * load.queue_ms, options_.queue_ms)));
  // A target of the queue alone says how many are too few, not how many are enough: those that are busy stay.
  if (options_.requests <= 0 && options_.tokens_per_second <= 0 && load.requests > 0) needed = std::max(needed, load.queue_ms > 0 ? load.workers : load.workers - 1);
  return std::clamp(needed, options_.min, options_.max);
}

int Scaling::look(const Load& load, Time now) {
  const int now_needed = needed(load);
  while (!looks_.empty() && looks_.back().needed <= now_needed) looks_.pop_back();
  looks_.push_back({now, now_needed});
  const auto since = now - std::chrono::seconds(options_.scale_in_s);
  // The one before the window's begin still counts for its begin.
  while (looks_.size() > 1 && looks_.front().time < since) looks_.pop_front();
  return looks_.front().needed;
}

}  // namespace redoubt::gateway
