// SPDX-License-Identifier: Apache-2.0
//
// Watches a serving endpoint: evaluates its alarms, tells the webhook and the ledger of each change, keeps incidents, scans
// the image again.
#pragma once

#include <mutex>
#include <optional>

#include "cli/session.h"
#include "gateway/capture.h"
#include "gateway/metrics.h"
#include "pipeline/config.h"
#include "stages/watch/alarms.h"
#include "stages/watch/drift.h"

namespace redoubt::cli {

// Hands captures on and keeps the latest prompts in memory, for the drift monitor.
class PromptWindow final : public gateway::CaptureSink {
 public:
  explicit PromptWindow(gateway::CaptureSink* next) : next_(next) {}
  bool record(gateway::CaptureRecord record) override;
  // The prompts seen since the last full window, once there are `count` of them; then the window starts anew.
  std::optional<std::vector<std::string>> take_window(std::size_t count);

 private:
  gateway::CaptureSink* next_;
  std::mutex mutex_;
  std::vector<std::string> prompts_;
};

class EndpointWatch {
 public:
  // `watch` and `scan` as the deploy statement has them.
  static Result<std::unique_ptr<EndpointWatch>> create(Session& session, std::string environment, const pipeline::WatchOptions& watch, const Json& scan);
  // For another deployment: its image and the prompts that its model was trained on.
  Status follow(const Digest& image, const Digest& training_data);
  // One look at everything; problems of watching are logged, never fatal.
  void tick(const gateway::MetricsSnapshot& metrics, PromptWindow& prompts);

 private:
  EndpointWatch(Session& session, std::string environment, pipeline::WatchOptions watch, Json scan, std::vector<stages::watch::AlarmDefinition> alarms)
      : session_(session), environment_(std::move(environment)), watch_(std::move(watch)), scan_(std::move(scan)), alarms_(std::move(alarms)) {}
  void measure_vulnerabilities(std::map<std::string, double>& values);
  void measure_drift(PromptWindow& prompts, std::map<std::string, double>& values);
  Status tell(const stages::watch::AlarmChange& change);
  Status keep_incident(const stages::watch::AlarmChange& change);
  Status notify(const Json& body);

  Session& session_;
  std::string environment_;
  pipeline::WatchOptions watch_;
  Json scan_;
  stages::watch::Alarms alarms_;
  std::optional<Digest> image_;
  std::optional<stages::watch::Baseline> baseline_;
  std::optional<TimePoint> scanned_;
  std::string saved_;  // the alarms as last written
};

// The alarms and incidents that an environment's watch has kept; empty lists before the first.
Result<Json> saved_alarms(Session& session, const std::string& environment);
Result<Json> saved_incidents(Session& session, const std::string& environment);

}  // namespace redoubt::cli
