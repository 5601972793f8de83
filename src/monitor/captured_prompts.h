// SPDX-License-Identifier: Apache-2.0
//
// The newest prompts out of captured data, in the order of their times, and the two windows that drift is measured over. Of a
// prompt only its features are kept, so that what a person wrote is gone with its line.
#pragma once

#include <optional>
#include <queue>

#include "base/clock.h"
#include "monitor/drift.h"

namespace redoubt::monitor {

// What one look covers: everything captured in the last `minutes`, and as far back as it takes to have `rows_min` prompts.
struct WindowOptions {
  int minutes = 60;
  std::size_t rows_min = 200;   // fewer than that can't be judged
  std::size_t rows_max = 5000;  // the newest count
};

struct PromptWindow {
  TimePoint from = {}, until = {};  // of its oldest and its newest prompt
  std::vector<FeatureValues> prompts;
};

class CapturedPrompts {
 public:
  // Keeps what `windows` can need; `until` leaves out what was captured at that time or later.
  explicit CapturedPrompts(WindowOptions options, TimePoint until) : options_(options), until_(until) {}

  // A line of captured data (docs/formats/capture.md). One that has no time or is no JSON counts as unreadable; an answered request
  // without a prompt counts as nothing.
  void add(std::string_view line);
  std::uint64_t unreadable() const { return unreadable_; }

  // The newest window, then the one before it, which shares no prompt with it. The first may have too few prompts; the second is
  // there only with enough of them.
  std::vector<PromptWindow> windows() const;

 private:
  struct Captured {
    TimePoint time;
    std::uint64_t order;
    FeatureValues features;
    bool operator>(const Captured& other) const { return std::tie(time, order) > std::tie(other.time, other.order); }
  };
  PromptWindow window_of(const std::vector<Captured>& newest_first, std::size_t from, TimePoint end) const;

  WindowOptions options_;
  TimePoint until_;
  std::priority_queue<Captured, std::vector<Captured>, std::greater<>> newest_;  // the oldest on top
  std::uint64_t seen_ = 0, unreadable_ = 0;
};

// What the windows say: whether the newest one drifts, and whether it is a matter for an alarm.
struct DriftVerdict {
  DriftReport newest;
  std::optional<DriftReport> before;

  // What the alarm DataDrift compares with 1: the smaller of both windows' worst ratios, so that one odd window raises nothing.
  double alarm_value() const;
};
// undecided with fewer than rows_min prompts in the newest window; the errors of measure_drift.
Result<DriftVerdict> judge_windows(const Baseline& baseline, const std::vector<PromptWindow>& windows, const DriftOptions& options = {});

}  // namespace redoubt::monitor
