// SPDX-License-Identifier: Apache-2.0
//
// Watches a serving endpoint: evaluates its alarms, brings each change to the ledger, the incidents and the webhook, scans
// the image again.
#pragma once

#include <mutex>
#include <optional>

#include "cli/alarm_reports.h"
#include "gateway/capture.h"
#include "gateway/metrics.h"
#include "gateway/worker.h"
#include "monitor/drift.h"

namespace redoubt::cli {

// Hands captures on and keeps the latest prompts in memory, for the drift monitor.
class PromptWindow final : public gateway::CaptureSink {
 public:
  explicit PromptWindow(gateway::CaptureSink* next) : next_(next) {}
  bool record(const gateway::CaptureRecord& record) override;
  // The prompts seen since the last full window, once there are `count` of them; then the window starts anew.
  std::optional<std::vector<std::string>> take_window(std::size_t count);

 private:
  gateway::CaptureSink* next_;
  std::mutex mutex_;
  std::vector<std::string> prompts_;
};

class EndpointWatch {
 public:
  // `watch` and `scan` as the deploy statement has them. `threads` outlive it.
  static Result<std::unique_ptr<EndpointWatch>> create(Session& session, std::string environment, const pipeline::WatchOptions& watch, const Json& scan, WatchThreads& threads);
  // The deployment that it watches: its image and the prompts that its model was trained on.
  Status follow(const Digest& image, const Digest& training_data);
  // One look at everything; problems of watching are logged, never fatal.
  void tick(const gateway::MetricsSnapshot& metrics, const gateway::PoolState& pool, PromptWindow& prompts);
  // Whether alarms elsewhere have been asked and have not answered yet, as far as was looked; `take_answer` looks.
  bool awaits_answer() const { return reports_->awaits_answer(); }
  void take_answer() { evaluate({}); }
  // Tells of what the looks changed, after whatever has to follow from it at once. What could not be told of is tried again at the next
  // call; while somebody is being told, the next call goes on with its outcome.
  void tell() { reports_->tell(); }
  // An alarm that is raised now, as it was evaluated last; else null.
  const stages::watch::Alarm* raised(std::string_view alarm) const;

 private:
  EndpointWatch(Session& session, std::string environment, pipeline::WatchOptions watch, Json scan)
      : session_(session), environment_(std::move(environment)), watch_(std::move(watch)), scan_(std::move(scan)) {}
  void evaluate(const stages::watch::Measurements& values);
  double worker_failures(const gateway::PoolState& pool);
  void measure_vulnerabilities(stages::watch::Measurements& values);
  void measure_drift(PromptWindow& prompts, stages::watch::Measurements& values);

  Session& session_;
  std::string environment_;
  pipeline::WatchOptions watch_;
  Json scan_;
  std::unique_ptr<AlarmReports> reports_;
  std::optional<Digest> image_;
  std::optional<monitor::Baseline> baseline_;
  std::optional<TimePoint> scanned_;  // by the monotonic clock
  std::uint64_t restarts_ = 0;  // of the workers, at the last look
};

}  // namespace redoubt::cli
