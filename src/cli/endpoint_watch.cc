// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_watch.h"

#include <fmt/format.h>

#include "base/log.h"
#include "cli/endpoint_parts.h"
#include "cli/image_check.h"
#include "crypto/random.h"
#include "stages/watch/prompt.h"

namespace redoubt::cli {
namespace {

using stages::watch::AlarmChange;
using stages::watch::AlarmState;

constexpr std::size_t kWindowPrompts = 200, kPromptsMax = 10'000;

std::string note_of(const std::string& environment) { return "watch-" + environment; }

void log_problem(const char* doing, const Error& error) { spdlog::warn("watch: cannot {}: {} ({})", doing, error.message, error.where); }

}  // namespace

bool PromptWindow::record(gateway::CaptureRecord record) {
  {
    const std::scoped_lock lock(mutex_);
    if (prompts_.size() < kPromptsMax) {
      if (auto prompt = stages::watch::prompt_of_text(record.input)) prompts_.push_back(std::move(*prompt));
    }
  }
  return next_ == nullptr || next_->record(std::move(record));
}

std::optional<std::vector<std::string>> PromptWindow::take_window(std::size_t count) {
  const std::scoped_lock lock(mutex_);
  if (prompts_.size() < count) return std::nullopt;
  return std::exchange(prompts_, {});
}

Result<std::unique_ptr<EndpointWatch>> EndpointWatch::create(Session& session, std::string environment, const pipeline::WatchOptions& watch, const Json& scan) {
  std::unique_ptr<EndpointWatch> made(new EndpointWatch(session, std::move(environment), watch, scan));
  made->notifier_ = TRY(session.notifier(watch.webhook, watch.webhook_ca_file, watch.webhook_secret));
  if (const auto note = TRY(session.notes().load(note_of(made->environment_)))) {
    made->told_ = TRY(stages::watch::parse_alarms(TRY(json_array(*note, "alarms", "alarms"))));
    TRY(made->deliveries_.restore(TRY(json_array(*note, "pending", "alarms"))));
  }
  made->alarms_ = TRY(session.alarms(made->environment_, watch.interval_s, stages::watch::to_json(made->told_)));
  return made;
}

// At the first look, and again until it worked: alarms elsewhere may not be there for a while.
Status EndpointWatch::define_alarms() {
  if (alarms_defined_) return {};
  const stages::watch::AlarmLimits limits{watch_.error_rate_per_minute_max, watch_.latency_p99_ms_max, static_cast<double>(watch_.critical_vulnerabilities_max),
                                          static_cast<double>(watch_.unauthorized_attempts_max), watch_.failures_max};
  TRY(alarms_->define(stages::watch::standard_alarms(limits)));
  alarms_defined_ = true;
  return {};
}

Status EndpointWatch::look(const stages::watch::Measurements& values) {
  TRY(define_alarms());
  TRY(alarms_->put(values));
  auto now = TRY(alarms_->read());
  for (const auto& change : stages::watch::changes_since(told_, now)) announce(change);
  told_ = std::move(now);
  return {};
}

Status EndpointWatch::follow(const Digest& image, const Digest& training_data) {
  if (image_ != image) scanned_.reset();
  image_ = image;
  auto baseline = stages::watch::make_baseline(TRY(training_prompts(session_, training_data)));
  if (!baseline && baseline.error().code != ErrorCode::undecided) return fail(baseline.error());
  baseline_ = baseline ? std::optional(std::move(*baseline)) : std::nullopt;
  return {};
}

void EndpointWatch::tick(const gateway::MetricsSnapshot& metrics, const gateway::PoolState& pool, PromptWindow& prompts) {
  stages::watch::Measurements values = {{"InvocationErrors", static_cast<double>(metrics.errors_per_minute)},
                                        {"UnauthorizedAttempts", static_cast<double>(metrics.unauthorized_per_minute)},
                                        {"WorkerFailures", worker_failures(pool)}};
  if (metrics.latency_samples > 0) {
    values["LatencyP99"] = metrics.latency_p99_ms;
  } else if (stages::watch::is_in(told_, "LatencyP99", AlarmState::alarm)) {
    values["LatencyP99"] = 0;  // nobody has waited for as long as the window reaches back
  }
  measure_vulnerabilities(values);
  measure_drift(prompts, values);
  if (deliveries_.full()) {
    spdlog::error("watch: {} changes wait to be told; the alarms keep their states until the first is", deliveries_.pending());
  } else {
    if (auto looked = look(values); !looked) log_problem("evaluate the alarms", looked.error());
  }
  keep();
  deliver();
}

// Workers that were replaced since the last look, or are not back yet.
double EndpointWatch::worker_failures(const gateway::PoolState& pool) {
  const auto before = std::exchange(restarts_, pool.restarts);
  const std::uint64_t ended = pool.restarts >= before ? pool.restarts - before : pool.restarts;
  return std::max(static_cast<double>(ended), static_cast<double>(pool.workers - pool.workers_ready));
}

void EndpointWatch::measure_vulnerabilities(stages::watch::Measurements& values) {
  const TimePoint now = session_.clock().now();
  const auto interval = std::chrono::milliseconds(static_cast<std::int64_t>(watch_.rescan_hours * 3'600'000));
  if (!image_ || (scanned_ && now - *scanned_ < interval)) return;
  auto& value = values["CriticalVulnerabilities"];  // nothing yet: a scan that fails leaves it unknown
  const auto facts = scan_image(session_, *image_, scan_);
  if (!facts) return log_problem("scan the image again", facts.error());
  const auto critical = facts->vulnerabilities.find("critical");
  if (critical == facts->vulnerabilities.end()) return log_problem("scan the image again", {ErrorCode::internal, "the scan counts no critical findings", {}, {}});
  value = critical->second;
  const Json result = {{"image", image_->tagged()}, {"environment", environment_}, {"vulnerabilities", facts->vulnerabilities}};
  if (auto recorded = session_.record_event("scan", result); !recorded) return log_problem("record the scan", recorded.error());
  scanned_ = now;
}

void EndpointWatch::measure_drift(PromptWindow& prompts, stages::watch::Measurements& values) {
  if (!baseline_) return;
  const auto window = prompts.take_window(kWindowPrompts);
  if (!window) return;
  auto& value = values["DataDrift"];
  const auto report = stages::watch::measure_drift(*baseline_, *window);
  if (!report) return log_problem("measure drift", report.error());
  double worst = 0;
  for (const auto& feature : report->features) worst = std::max(worst, feature.psi / feature.limit);
  value = worst;
}

void EndpointWatch::announce(const AlarmChange& change) {
  Json body = change.alarm.to_json();
  body["id"] = to_hex(crypto::random_bytes(8));
  body["environment"] = environment_;
  body["before"] = to_string(change.before);
  spdlog::warn("alarm {} is {} (value {}, limit {})", change.alarm.definition.name, to_string(change.alarm.state), dump_json(body["value"]), change.alarm.definition.limit);
  deliveries_.add(std::move(body));
}

// The states and what is still to be told of them in one note, so that no kill leaves a change that nobody hears of.
void EndpointWatch::keep() {
  const Json now = {{"alarms", stages::watch::to_json(told_)}, {"pending", deliveries_.to_json()}};
  if (dump_json(now) == saved_) return;
  if (auto saved = session_.notes().save(note_of(environment_), now); !saved) return log_problem("keep the alarms", saved.error());
  saved_ = dump_json(now);
}

void EndpointWatch::deliver() {
  stages::watch::DeliverySteps steps;
  steps.record = [this](const Json& change) -> Status {
    (void)TRY(session_.record_event("alarm", change));
    return {};
  };
  steps.incident = [this](const Json& change) -> Status {
    Json incidents = TRY(saved_incidents(session_, environment_));
    TRY(stages::watch::apply_to_incidents(incidents, change));
    return session_.notes().save("incidents-" + environment_, incidents);
  };
  steps.notify = [this](const Json& change) -> Status {
    if (notifier_ == nullptr) return {};
    return notifier_->notify(fmt::format("{}: alarm {} is {}", environment_, change.value("name", ""), change.value("state", "")), change);
  };
  steps.progressed = [this] { keep(); };
  if (auto delivered = deliveries_.deliver(steps); !delivered) log_problem("tell of an alarm, which is tried again", delivered.error());
}

Result<Json> saved_alarms(Session& session, const std::string& environment) {
  const auto note = TRY(session.notes().load(note_of(environment)));
  return note ? json_array(*note, "alarms", "alarms") : Result<Json>(Json::array());
}
Result<Json> saved_incidents(Session& session, const std::string& environment) { return TRY(session.notes().load("incidents-" + environment)).value_or(Json::array()); }

}  // namespace redoubt::cli
