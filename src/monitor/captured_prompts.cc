// SPDX-License-Identifier: Apache-2.0
#include "monitor/captured_prompts.h"

#include <algorithm>
#include <chrono>

#include "monitor/prompt.h"

namespace redoubt::monitor {
namespace {

constexpr JsonLimits kLineLimits{.bytes_max = 32 << 20, .depth_max = 32};

std::optional<TimePoint> time_of(const Json& line) {
  const auto time = parse_rfc3339(json_or(json_or(line, "eventMetadata", Json::object()), "inferenceTime", ""));
  return time ? std::optional(*time) : std::nullopt;
}

}  // namespace

void CapturedPrompts::add(std::string_view line) {
  const auto captured = parse_json(line, "capture", kLineLimits);
  const auto time = captured ? time_of(*captured) : std::nullopt;
  if (!time) {
    ++unreadable_;
    return;
  }
  if (*time >= until_) return;
  const auto prompt = prompt_of_capture(*captured);
  if (!prompt) return;
  newest_.push({*time, seen_++, measure_features(*prompt)});
  if (newest_.size() > 2 * options_.rows_max) newest_.pop();
}

PromptWindow CapturedPrompts::window_of(const std::vector<Captured>& newest_first, std::size_t from, TimePoint end) const {
  PromptWindow window;
  const TimePoint begin = end - std::chrono::minutes(options_.minutes);
  for (std::size_t i = from; i < newest_first.size() && window.prompts.size() < options_.rows_max; ++i) {
    if (newest_first[i].time < begin && window.prompts.size() >= options_.rows_min) break;
    if (window.prompts.empty()) window.until = newest_first[i].time;
    window.from = newest_first[i].time;
    window.prompts.push_back(newest_first[i].features);
  }
  return window;
}

std::vector<PromptWindow> CapturedPrompts::windows() const {
  std::vector<Captured> newest_first;
  for (auto rest = newest_; !rest.empty(); rest.pop()) newest_first.push_back(rest.top());
  std::reverse(newest_first.begin(), newest_first.end());
  std::vector<PromptWindow> windows;
  windows.push_back(window_of(newest_first, 0, until_));
  const std::size_t next = windows.front().prompts.size();
  if (next == newest_first.size()) return windows;
  auto before = window_of(newest_first, next, newest_first[next].time);
  if (before.prompts.size() >= options_.rows_min) windows.push_back(std::move(before));
  return windows;
}

double DriftVerdict::alarm_value() const { return before ? std::min(newest.worst(), before->worst()) : std::min(newest.worst(), 1.0); }

Result<DriftVerdict> judge_windows(const Baseline& baseline, const std::vector<PromptWindow>& windows, const DriftOptions& options) {
  DriftVerdict verdict;
  verdict.newest = TRY(measure_drift(baseline, windows.empty() ? std::vector<FeatureValues>() : windows.front().prompts, options));
  if (windows.size() > 1) verdict.before = TRY(measure_drift(baseline, windows[1].prompts, options));
  return verdict;
}

}  // namespace redoubt::monitor
