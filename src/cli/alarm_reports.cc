// SPDX-License-Identifier: Apache-2.0
#include "cli/alarm_reports.h"

#include <fmt/format.h>

#include "base/log.h"
#include "crypto/random.h"

namespace redoubt::cli {
namespace {

using stages::watch::AlarmChange;

std::string alarms_note(const std::string& environment) { return "watch-" + environment; }

}  // namespace

void log_watch_problem(const char* doing, const Error& error) { spdlog::warn("watch: cannot {}: {} ({})", doing, error.message, error.where); }

// One look after the other, by one thread at a time. It may outlive the reports, while alarms elsewhere do not answer.
struct AlarmReports::Look {
  std::unique_ptr<provider::Alarms> alarms;
  std::vector<provider::AlarmRule> rules;
  bool is_defined = false;
  std::vector<stages::watch::Alarm> states;

  // The rules at the first look, and again until it worked: alarms elsewhere may not be there for a while.
  Status at(const stages::watch::Measurements& values) {
    if (!is_defined) TRY(alarms->define(rules));
    is_defined = true;
    TRY(alarms->put(values));
    states = TRY(alarms->read());
    return {};
  }
};

Result<std::unique_ptr<AlarmReports>> AlarmReports::create(Session& session, std::string environment, const pipeline::WatchOptions& watch, std::vector<provider::AlarmRule> rules,
                                                           WatchThreads* threads) {
  std::unique_ptr<AlarmReports> made(new AlarmReports(session, std::move(environment), threads));
  made->notifier_ = TRY(session.notifier(watch.webhook, watch.webhook_ca_file, watch.webhook_secret));
  if (const auto note = TRY(session.notes().load(alarms_note(made->environment_)))) {
    made->told_ = TRY(stages::watch::parse_alarms(TRY(json_array(*note, "alarms", "alarms"))));
    TRY(made->deliveries_.restore(TRY(json_array(*note, "pending", "alarms"))));
  }
  made->look_id_ = to_hex(crypto::random_bytes(8));
  made->look_ = std::make_shared<Look>();
  made->look_->rules = std::move(rules);
  made->look_->alarms = TRY(session.alarms(made->environment_, watch.interval_s, stages::watch::to_json(made->told_)));
  return made;
}

void AlarmReports::take_states() {
  for (const auto& change : stages::watch::changes_since(told_, look_->states)) announce(change);
  told_ = look_->states;
}

Status AlarmReports::evaluate(const stages::watch::Measurements& values) {
  Status looked;
  if (deliveries_.full()) {
    spdlog::error("watch: {} changes wait to be told; the alarms keep their states until the first is", deliveries_.pending());
  } else if (threads_ != nullptr && session_.is_far("alarms")) {
    looked = look_elsewhere(values);
  } else {
    looked = look_->at(values);
    if (looked) take_states();
  }
  keep();
  return looked;
}

Status AlarmReports::look_elsewhere(const stages::watch::Measurements& values) {
  for (const auto& [name, value] : values) waiting_[name] = value;
  const auto looked = ask();
  if (!looked) return {};
  awaits_answer_ = false;
  if (*looked) take_states();
  if (!waiting_.empty()) (void)ask();
  return *looked;
}

// How the look ended that is under way; nothing before, where it begins with this, or while the thread is at what reports before these asked.
std::optional<Status> AlarmReports::ask() {
  return threads_->asking.ask(look_id_, [this]() -> Result<std::function<Status()>> {
    awaits_answer_ = true;
    return std::function([look = look_, values = std::exchange(waiting_, {})] { return look->at(values); });
  });
}

Status AlarmReports::look(const stages::watch::Measurements& values) {
  auto looked = evaluate(values);
  tell();
  return looked;
}

void AlarmReports::announce(const AlarmChange& change) {
  Json body = change.alarm.to_json();
  body["id"] = to_hex(crypto::random_bytes(8));
  body["environment"] = environment_;
  body["before"] = to_string(change.before);
  spdlog::warn("alarm {} is {} (value {}, limit {})", change.alarm.definition.name, to_string(change.alarm.state), dump_json(body["value"]), change.alarm.definition.limit);
  deliveries_.add(std::move(body));
}

// The states and what is still to be told of them in one note, so that no kill leaves a change that nobody hears of.
void AlarmReports::keep() {
  const Json now = {{"alarms", stages::watch::to_json(told_)}, {"pending", deliveries_.to_json()}};
  if (dump_json(now) == saved_) return;
  if (auto saved = session_.notes().save(alarms_note(environment_), now); !saved) return log_watch_problem("keep the alarms", saved.error());
  saved_ = dump_json(now);
}

void AlarmReports::tell() {
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
  steps.notify = [this](const Json& change) { return notify(change); };
  steps.progressed = [this] { keep(); };
  const auto delivered = deliveries_.deliver(steps);
  if (!delivered && delivered.error().code != ErrorCode::undecided) log_watch_problem("tell of an alarm, which is tried again", delivered.error());
}

// Undecided while it is being told.
Status AlarmReports::notify(const Json& change) {
  if (notifier_ == nullptr) return {};
  const auto prepare = [&] { return notifier_->prepare(fmt::format("{}: alarm {} is {}", environment_, change.value("name", ""), change.value("state", "")), change); };
  if (threads_ == nullptr) return TRY(prepare())();
  const auto told = threads_->telling.ask(change.value("id", ""), prepare);
  return told ? *told : Status(fail(ErrorCode::undecided, "it is being told"));
}

Result<Json> saved_alarms(Session& session, const std::string& environment) {
  const auto note = TRY(session.notes().load(alarms_note(environment)));
  return note ? json_array(*note, "alarms", "alarms") : Result<Json>(Json::array());
}
Result<Json> saved_incidents(Session& session, const std::string& environment) { return TRY(session.notes().load("incidents-" + environment)).value_or(Json::array()); }

}  // namespace redoubt::cli
