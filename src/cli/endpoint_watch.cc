// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_watch.h"

#include <fmt/format.h>

#include "base/log.h"
#include "cli/endpoint_parts.h"
#include "cli/image_check.h"
#include "crypto/hash.h"
#include "http/client.h"
#include "stages/watch/prompt.h"

namespace redoubt::cli {
namespace {

using stages::watch::AlarmChange;
using stages::watch::AlarmState;

constexpr std::size_t kWindowPrompts = 200, kPromptsMax = 10'000, kIncidentsMax = 1000;

Result<Json> saved_list(Session& session, const std::string& note) { return TRY(session.notes().load(note)).value_or(Json::array()); }

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
  const stages::watch::AlarmLimits limits{watch.error_rate_per_minute_max, watch.latency_p99_ms_max, static_cast<double>(watch.critical_vulnerabilities_max),
                                          static_cast<double>(watch.unauthorized_attempts_max)};
  std::unique_ptr<EndpointWatch> made(new EndpointWatch(session, std::move(environment), watch, scan, stages::watch::standard_alarms(limits)));
  TRY(made->alarms_.restore(TRY(saved_alarms(session, made->environment_))));
  return made;
}

Status EndpointWatch::follow(const Digest& image, const Digest& training_data) {
  if (image_ != image) scanned_.reset();
  image_ = image;
  auto baseline = stages::watch::make_baseline(TRY(training_prompts(session_, training_data)));
  if (!baseline && baseline.error().code != ErrorCode::undecided) return fail(baseline.error());
  baseline_ = baseline ? std::optional(std::move(*baseline)) : std::nullopt;
  return {};
}

void EndpointWatch::tick(const gateway::MetricsSnapshot& metrics, PromptWindow& prompts) {
  std::map<std::string, double> values = {{"InvocationErrors", static_cast<double>(metrics.errors_per_minute)},
                                          {"UnauthorizedAttempts", static_cast<double>(metrics.unauthorized_per_minute)}};
  if (metrics.latency_samples > 0) values["LatencyP99"] = metrics.latency_p99_ms;
  measure_vulnerabilities(values);
  measure_drift(prompts, values);
  for (const auto& change : alarms_.update(values, session_.clock().now())) {
    if (auto told = tell(change); !told) log_problem("tell of an alarm", told.error());
  }
  const Json now = alarms_.to_json();
  if (dump_json(now) == saved_) return;
  if (auto saved = session_.notes().save("alarms-" + environment_, now); !saved) return log_problem("keep the alarms", saved.error());
  saved_ = dump_json(now);
}

void EndpointWatch::measure_vulnerabilities(std::map<std::string, double>& values) {
  const TimePoint now = session_.clock().now();
  if (!image_ || (scanned_ && now - *scanned_ < std::chrono::hours(watch_.rescan_hours))) return;
  const auto facts = scan_image(session_, *image_, scan_);
  if (!facts) return log_problem("scan the image again", facts.error());
  scanned_ = now;
  values["CriticalVulnerabilities"] = facts->vulnerabilities.at("critical");
  const Json result = {{"image", image_->tagged()}, {"environment", environment_}, {"vulnerabilities", facts->vulnerabilities}};
  if (auto recorded = session_.record_event("scan", result); !recorded) log_problem("record the scan", recorded.error());
}

void EndpointWatch::measure_drift(PromptWindow& prompts, std::map<std::string, double>& values) {
  if (!baseline_) return;
  const auto window = prompts.take_window(kWindowPrompts);
  if (!window) return;
  const auto report = stages::watch::measure_drift(*baseline_, *window);
  if (!report) return log_problem("measure drift", report.error());
  double worst = 0;
  for (const auto& feature : report->features) worst = std::max(worst, feature.psi / feature.limit);
  values["DataDrift"] = worst;
}

Status EndpointWatch::tell(const AlarmChange& change) {
  Json body = change.alarm.to_json();
  body["environment"] = environment_;
  body["before"] = to_string(change.before);
  spdlog::warn("alarm {} is {} (value {}, limit {})", change.alarm.definition.name, to_string(change.alarm.state), dump_json(body["value"]), change.alarm.definition.limit);
  TRY(session_.record_event("alarm", body));
  TRY(keep_incident(change));
  return notify(body);
}

// An incident opens with its alarm and closes with it.
Status EndpointWatch::keep_incident(const AlarmChange& change) {
  Json incidents = TRY(saved_incidents(session_, environment_));
  const std::string now = to_rfc3339(session_.clock().now());
  if (change.alarm.state == AlarmState::alarm) {
    const std::string id = crypto::sha256(change.alarm.definition.name + now).hex().substr(0, 12);
    incidents.push_back({{"id", id}, {"alarm", change.alarm.definition.name}, {"opened", now}, {"closed", nullptr}, {"state", "open"}, {"value", change.alarm.value ? Json(*change.alarm.value) : Json()},
                         {"limit", change.alarm.definition.limit}});
    if (incidents.size() > kIncidentsMax) incidents.erase(incidents.begin());
  } else {
    for (auto& incident : incidents) {
      if (incident.value("alarm", "") != change.alarm.definition.name || incident.value("state", "") != "open") continue;
      incident["state"] = "closed";
      incident["closed"] = now;
    }
  }
  return session_.notes().save("incidents-" + environment_, incidents);
}

Status EndpointWatch::notify(const Json& body) {
  if (watch_.webhook.empty()) return {};
  http::ClientOptions options;
  options.allow_plain_loopback = true;
  options.total_s_max = 15;
  http::ClientRequest request;
  request.method = "POST";
  request.url = watch_.webhook;
  request.body = dump_json(body);
  request.headers.add("Content-Type", "application/json");
  if (!watch_.webhook_secret.empty()) {
    const Secret key = TRY(session_.secrets().get(watch_.webhook_secret));
    request.headers.add("X-Redoubt-Signature", "sha256=" + crypto::hmac_sha256(key, view_of(request.body)).hex());
  }
  (void)TRY(http::Client(options).fetch(request));
  return {};
}

Result<Json> saved_alarms(Session& session, const std::string& environment) { return saved_list(session, "alarms-" + environment); }
Result<Json> saved_incidents(Session& session, const std::string& environment) { return saved_list(session, "incidents-" + environment); }

}  // namespace redoubt::cli
