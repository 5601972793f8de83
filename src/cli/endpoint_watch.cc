// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_watch.h"

#include "base/log.h"
#include "base/monotonic_clock.h"
#include "cli/endpoint_parts.h"
#include "cli/image_rescan.h"
#include "monitor/prompt.h"

namespace redoubt::cli {
namespace {

using stages::watch::AlarmState;

constexpr std::size_t kWindowPrompts = 200, kWindowPromptsMax = 10'000;

}  // namespace

bool PromptWindow::record(const gateway::CaptureRecord& record) {
  {
    const std::scoped_lock lock(mutex_);
    if (prompts_.size() < kWindowPromptsMax) {
      if (auto prompt = monitor::prompt_of_text(record.input)) prompts_.push_back(std::move(*prompt));
    }
  }
  return next_ == nullptr || next_->record(record);
}

std::optional<std::vector<std::string>> PromptWindow::take_window(std::size_t count) {
  const std::scoped_lock lock(mutex_);
  if (prompts_.size() < count) return std::nullopt;
  return std::exchange(prompts_, {});
}

Result<std::unique_ptr<EndpointWatch>> EndpointWatch::create(Session& session, std::string environment, const pipeline::WatchOptions& watch, const Json& scan,
                                                             WatchThreads& threads) {
  const stages::watch::AlarmLimits limits{watch.error_rate_per_minute_max, watch.latency_p99_ms_max, static_cast<double>(watch.critical_vulnerabilities_max),
                                          static_cast<double>(watch.unauthorized_attempts_max), watch.failures_max};
  std::unique_ptr<EndpointWatch> made(new EndpointWatch(session, std::move(environment), watch, scan));
  made->reports_ = TRY(AlarmReports::create(session, made->environment_, watch, stages::watch::standard_alarms(limits), &threads));
  return made;
}

Status EndpointWatch::follow(const Digest& image, const Digest& training_data) {
  if (image_ != image) scanned_.reset();
  image_ = image;
  auto baseline = monitor::make_baseline(TRY(training_prompts(session_, training_data)));
  if (!baseline && baseline.error().code != ErrorCode::undecided) return fail(baseline.error());
  baseline_ = baseline ? std::optional(std::move(*baseline)) : std::nullopt;
  return {};
}

void EndpointWatch::tick(const gateway::MetricsSnapshot& metrics, const gateway::PoolState& pool, PromptWindow& prompts) {
  stages::watch::Measurements values = {{"InvocationErrors", static_cast<double>(metrics.errors_per_minute)},
                                        {"UnauthorizedAttempts", static_cast<double>(metrics.unauthorized_per_minute)},
                                        {"WorkerFailures", worker_failures(pool)}};
  auto& certificate = values["CertificateExpiry"];  // unknown where nobody knows it
  if (metrics.certificate) certificate = stages::watch::certificate_days_missing(metrics.certificate->begin, metrics.certificate->end, session_.clock().now());
  if (metrics.latency_samples > 0) {
    values["LatencyP99"] = metrics.latency_p99_ms;
  } else if (raised("LatencyP99") != nullptr) {
    values["LatencyP99"] = 0;  // nobody has waited for as long as the window reaches back
  }
  measure_vulnerabilities(values);
  measure_drift(prompts, values);
  evaluate(values);
}

void EndpointWatch::evaluate(const stages::watch::Measurements& values) {
  if (auto looked = reports_->evaluate(values); !looked) log_watch_problem("evaluate the alarms", looked.error());
}

const stages::watch::Alarm* EndpointWatch::raised(std::string_view alarm) const {
  const auto* found = reports_->find(alarm);
  return found != nullptr && found->state == AlarmState::alarm ? found : nullptr;
}

// Workers that were replaced since the last look, or are not back yet; those that are started because of the load are well.
double EndpointWatch::worker_failures(const gateway::PoolState& pool) {
  const auto before = std::exchange(restarts_, pool.restarts);
  const std::uint64_t ended = pool.restarts >= before ? pool.restarts - before : pool.restarts;
  return std::max(static_cast<double>(ended), static_cast<double>(pool.workers - pool.workers_ready - pool.workers_starting));
}

void EndpointWatch::measure_vulnerabilities(stages::watch::Measurements& values) {
  const TimePoint now = monotonic_clock().now();
  const auto interval = std::chrono::milliseconds(static_cast<std::int64_t>(watch_.rescan_hours * 3'600'000));
  if (!image_ || (scanned_ && now - *scanned_ < interval)) return;
  auto& value = values["CriticalVulnerabilities"];  // nothing yet: a scan that fails leaves it unknown
  const auto rescan = rescan_deployed(session_, environment_, *image_, scan_);
  if (!rescan) return log_watch_problem("scan the image again", rescan.error());
  for (const auto& name : rescan->news) spdlog::warn("watch: the deployed image has a new grave finding: {}", name);
  value = rescan->grave;
  scanned_ = now;
}

void EndpointWatch::measure_drift(PromptWindow& prompts, stages::watch::Measurements& values) {
  if (!baseline_) return;
  const auto window = prompts.take_window(kWindowPrompts);
  if (!window) return;
  auto& value = values["DataDrift"];
  const auto report = monitor::measure_drift(*baseline_, *window);
  if (!report) return log_watch_problem("measure drift", report.error());
  value = report->worst();
}

}  // namespace redoubt::cli
