// SPDX-License-Identifier: Apache-2.0
//
// redoubt monitor run, alarm list, incident list, incident sync.
#include <fmt/format.h>

#include <set>

#include "cli/alarm_reports.h"
#include "cli/commands.h"
#include "cli/endpoint_parts.h"
#include "cli/image_rescan.h"
#include "cli/key_age.h"
#include "monitor/drift.h"
#include "stages/watch/delivery.h"

namespace redoubt::cli {
namespace {

constexpr std::size_t kCapturedPromptsMax = 5000;

struct MonitorOptions {
  std::string environment = "production";
  bool newest = false;  // look at the newest run instead of starting one
  bool image_only = false, scan_now = false;
};

std::string drift_table(const Json& features) {
  Table table{{"FEATURE", "PSI", "LIMIT", "DRIFT"}, {}};
  for (const auto& feature : features) {
    table.rows.push_back({json_or(feature, "name", ""), fmt::format("{:.4f}", json_or(feature, "psi", 0.0)), fmt::format("{:.4f}", json_or(feature, "limit", 0.0)), json_or(feature, "violated", false) ? "yes" : "no"});
  }
  return render(table);
}

// What a run found becomes the alarm's value; a run that failed is one that could not measure it.
Status tell_alarm(Session& session, const stages::deploy::CurrentDeployment& deployment, const std::string& environment, const Result<provider::MonitorRun>& run) {
  const auto watch = TRY(pipeline::WatchOptions::from_json(deployment.record.parameters["endpoint"]["watch"]));
  stages::watch::AlarmLimits limits;
  limits.failures_max = watch.failures_max;
  auto reports = TRY(AlarmReports::create(session, environment, watch, stages::watch::monitored_alarms(limits)));
  stages::watch::Measurements values;
  if (!run && run.error().code != ErrorCode::undecided) values["DataDrift"] = std::nullopt;
  if (run && json_or(run->drift, "decided", false)) values["DataDrift"] = json_or(run->drift, "alarm_value", 0.0);
  return reports->look(values);
}

// Drift of an endpoint that is watched elsewhere.
Result<int> run_monitor_there(Session& session, provider::EndpointMonitor& monitor, const stages::deploy::CurrentDeployment& deployment, const MonitorOptions& options, const Output& output) {
  std::optional<provider::MonitorRun> newest;
  if (options.newest) {
    newest = TRY(monitor.newest(options.environment));
    if (!newest) return fail(ErrorCode::undecided, "no run of the monitor has ended yet", options.environment, "wait for the schedule, or start one: redoubt monitor run");
  }
  const auto run = newest ? Result<provider::MonitorRun>(std::move(*newest)) : monitor.run(options.environment);
  const auto lock = TRY(session.workspace().lock());
  const auto told = tell_alarm(session, deployment, options.environment, run);
  if (!told) output.say("the alarm DataDrift was not told of this: " + told.error().message + (told.error().where.empty() ? "" : " (" + told.error().where + ")"));
  if (!run) return fail(run.error());
  if (!json_or(run->drift, "decided", false)) {
    return fail(ErrorCode::undecided, json_or(run->drift, "undecided", "the run could not decide"), run->name, "ask again when the endpoint has answered more requests");
  }
  const bool drifts = json_or(run->drift, "drift", false);
  Json result = run->drift;
  result.update({{"violations", json_or(run->violations, "violations", Json::array())}, {"statistics", run->statistics}, {"constraints", run->constraints}, {"run", run->name}});
  output.result(result, fmt::format("{}{} captured prompts against {} of the training data, index in nats ({})\n", drift_table(run->drift["features"]), json_or(run->drift, "rows", std::int64_t{0}),
                                    json_or(run->drift, "baseline_rows", std::int64_t{0}), run->name));
  if (drifts) return exit_code_of(ErrorCode::gate_refused);
  return told ? 0 : 1;
}

// What the alarm CriticalVulnerabilities hears where no endpoint's process watches. A scan that failed is one that could not measure it.
Status tell_image_alarm(Session& session, const pipeline::WatchOptions& watch, const std::string& environment, const Result<Rescan>& rescan) {
  stages::watch::AlarmLimits limits;
  limits.critical_vulnerabilities_max = watch.critical_vulnerabilities_max;
  limits.failures_max = watch.failures_max;
  auto rules = stages::watch::standard_alarms(limits);
  auto reports = TRY(AlarmReports::create(session, environment, watch, std::move(rules)));
  return reports->look({{"CriticalVulnerabilities", rescan ? std::optional(static_cast<double>(rescan->grave)) : std::nullopt}});
}

// The deployed image again, where its last scan is older than `rescan_hours`: the exit code. An endpoint that runs raises its own alarms.
Result<int> check_image(Session& session, const stages::deploy::CurrentDeployment& deployment, const MonitorOptions& options, Json& result, const Output& output) {
  const Json endpoint = json_or(deployment.record.parameters, "endpoint", Json::object());
  const auto watch = TRY(pipeline::WatchOptions::from_json(json_or(endpoint, "watch", Json::object())));
  const Digest image = deployment.record.inputs.at("image");
  const auto last = TRY(last_rescan(session, options.environment, image));
  const auto interval = std::chrono::milliseconds(static_cast<std::int64_t>(watch.rescan_hours * 3'600'000));
  if (!options.scan_now && last && session.clock().now() - *last < interval) {
    result["image"] = {{"image", image.tagged()}, {"scanned", to_rfc3339(*last)}, {"due", false}};
    output.say("the image was scanned at " + to_rfc3339(*last) + "; it is not due again");
    return 0;
  }
  const auto lock = TRY(session.workspace().lock());
  const auto rescan = rescan_deployed(session, options.environment, image, json_or(endpoint, "scan", Json::object()));
  auto* host = TRY(session.endpoint_host());
  const auto status = host->status(options.environment);
  if (!status || !status->running) TRY(tell_image_alarm(session, watch, options.environment, rescan));
  if (!rescan) return fail(rescan.error());
  result["image"] = {{"image", image.tagged()}, {"scanned", to_rfc3339(rescan->when)}, {"due", true}, {"vulnerabilities", rescan->vulnerabilities}, {"grave", rescan->grave}, {"new", rescan->news}};
  for (const auto& name : rescan->news) output.say("new in the deployed image: " + name);
  output.say(fmt::format("the image was scanned again: {} grave findings, {} of them new", rescan->grave, rescan->news.size()));
  return rescan->grave > watch.critical_vulnerabilities_max ? exit_code_of(ErrorCode::gate_refused) : 0;
}

// The age of the keys: an alarm when they are overdue, and their rotation where the vault's policy leaves it to the monitor.
Result<KeyAge> watch_keys(Session& session, Progress& progress, const Output& output) {
  auto age = TRY(key_age(session));
  const bool was_told = !TRY(saved_alarms(session, kNoEndpoint)).empty();
  if (!age.overdue() && !was_told) return age;
  const auto lock = TRY(session.workspace().lock());
  TRY(tell_key_alarm(session, age));
  if (!age.overdue()) return age;
  output.say("redoubt: " + age.text());
  if (age.rotation != custody::Rotation::automatic) return age;
  TRY(session.require(governance::Permission::manage_keys));
  const auto done = TRY(rotate_keys(session, progress));
  output.say(fmt::format("redoubt: rotated as the policy says: {} has version {}, {} of {} data keys were wrapped anew", done.key, done.version, done.rewrapped, done.files));
  age = TRY(key_age(session));
  TRY(tell_key_alarm(session, age));
  return age;
}

Result<int> monitor_keys(Invocation& invocation, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::monitor));
  const auto age = TRY(watch_keys(*session, invocation.progress, output));
  output.result(age.to_json(), age.text());
  return age.overdue() ? exit_code_of(ErrorCode::gate_refused) : 0;
}

// Drift over everything captured, whether or not the endpoint runs.
Result<int> run_monitor(Invocation& invocation, const MonitorOptions& options, const Output& output) {
  const std::string& environment = options.environment;
  auto session = TRY(Session::open(invocation.global, Duty::monitor));
  const auto keys = watch_keys(*session, invocation.progress, output);
  if (!keys) output.say(fmt::format("redoubt: the age of the keys was not looked at: {} ({})", keys.error().message, keys.error().where));
  const auto deployment = TRY(stages::deploy::current_deployment(session->evidence(), environment));
  if (!deployment) return fail(ErrorCode::not_found, "nothing was deployed to this environment", environment);
  if (auto* monitor = TRY(session->endpoint_monitor())) return run_monitor_there(*session, *monitor, *deployment, options, output);
  if (options.newest) return fail(ErrorCode::unsupported, "this endpoint's own process watches it; there are no runs", environment, "leave out --newest, or see 'redoubt alarm list'");
  Json about_image = Json::object();
  const int image_code = TRY(check_image(*session, *deployment, options, about_image, output));
  if (options.image_only) {
    output.result(about_image, dump_json(about_image["image"]));
    return image_code;
  }
  const auto baseline = TRY(monitor::make_baseline(TRY(training_prompts(*session, deployment->record.inputs.at("training_data")))));
  const auto prompts = TRY(captured_prompts(*session, environment, kCapturedPromptsMax));
  const auto report = TRY(monitor::measure_drift(baseline, prompts));
  const Json features = report.features_to_json();
  Json result = report.to_violations();
  result.update({{"rows", report.rows}, {"features", features}, {"drift", report.violated()}, {"statistics", baseline.to_statistics()}, {"image", about_image["image"]}});
  output.result(result, fmt::format("{}{} captured prompts against {} of the training data, index in nats\n", drift_table(features), report.rows, baseline.rows));
  return report.violated() ? exit_code_of(ErrorCode::gate_refused) : image_code;
}

Result<int> list_alarms(Invocation& invocation, const std::string& environment, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  const Json alarms = TRY(saved_alarms(*session, environment));
  Table table{{"ALARM", "STATE", "VALUE", "LIMIT", "SINCE"}, {}};
  for (const auto& alarm : alarms) table.rows.push_back({alarm.value("name", ""), alarm.value("state", ""), dump_json(alarm["value"]), dump_json(alarm["limit"]), alarm.value("changed", "")});
  output.result(alarms, table.rows.empty() ? "no alarms yet: the endpoint of this environment was never watched" : render(table));
  return 0;
}

Result<int> list_incidents(Invocation& invocation, const std::string& environment, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  const Json incidents = TRY(saved_incidents(*session, environment));
  Table table{{"ID", "ALARM", "STATE", "OPENED", "CLOSED"}, {}};
  for (const auto& incident : incidents) {
    table.rows.push_back({incident.value("id", ""), incident.value("alarm", ""), incident.value("state", ""), incident.value("opened", ""), incident["closed"].is_string() ? incident["closed"].get<std::string>() : "-"});
  }
  output.result(incidents, table.rows.empty() ? "no incidents" : render(table));
  return 0;
}

bool is_open(const Json& incident) { return json_or(incident, "state", "") == "open"; }

// Findings of the account's guards become incidents of their own environment; those that are gone close theirs. The ledger gets what
// names nobody.
Result<int> sync_incidents(Invocation& invocation, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::monitor));
  const auto lock = TRY(session->workspace().lock());
  const auto findings = TRY(session->account_findings());
  Json incidents = TRY(saved_incidents(*session, kNoEndpoint));
  const std::string now = to_rfc3339(session->clock().now());
  int opened = 0, closed = 0;
  const auto change = [&](const std::string& alarm, const char* state, const Json& about, const std::string& title) -> Status {
    TRY(session->record_event("incident", {{"environment", kNoEndpoint}, {"alarm", alarm}, {"state", state}, {"about", about}}));
    TRY(stages::watch::apply_to_incidents(incidents, {{"id", alarm + "@" + now}, {"name", alarm}, {"state", state}, {"changed", now}, {"description", title}, {"value", nullptr}, {"limit", nullptr}}));
    return session->notes().save(std::string("incidents-") + kNoEndpoint, incidents);
  };
  std::set<std::string> there, known;
  for (const auto& incident : incidents) {
    const std::string alarm = json_or(incident, "alarm", "");
    if (is_open(incident) && alarm.find(':') != alarm.npos) known.insert(alarm);  // others, such as of a key that is overdue, are not the guards'
  }
  for (const auto& finding : findings) {
    const std::string alarm = finding.source + ":" + finding.id;
    if (!there.insert(alarm).second || known.contains(alarm)) continue;
    TRY(change(alarm, "ALARM", {{"severity", finding.severity}, {"type", finding.type}, {"seen", finding.time}}, finding.title));
    ++opened;
  }
  for (const auto& alarm : known) {
    if (there.contains(alarm)) continue;
    TRY(change(alarm, "OK", Json::object(), ""));
    ++closed;
  }
  output.result({{"opened", opened}, {"closed", closed}, {"open", there.size()}}, fmt::format("{} opened, {} closed, {} open: redoubt incident list --environment {}", opened, closed, there.size(), kNoEndpoint));
  return 0;
}

}  // namespace

void add_watch_commands(CLI::App& app, Invocation& invocation) {
  auto monitor = std::make_shared<MonitorOptions>();
  CLI::App* monitor_group = app.add_subcommand("monitor", "Drift of what the endpoint is asked, the deployed image, and the age of keys")->require_subcommand(1);
  CLI::App* run = add_command(*monitor_group, invocation, "run", "Scans the deployed image again when that is due, and compares captured prompts with the training data; exit status 3 on new grave findings or drift, 7 with too few prompts",
                              [&invocation, monitor](const Output& output) { return run_monitor(invocation, *monitor, output); });
  run->add_option("--environment", monitor->environment, "dev, staging or production (default)")->check(CLI::IsMember({"dev", "staging", "production"}));
  run->add_flag("--image-only", monitor->image_only, "the deployed image alone: scanned again where the last scan is older than rescan_hours");
  run->add_flag("--scan-now", monitor->scan_now, "the image is scanned again whenever the last scan was");
  run->add_flag("--newest", monitor->newest, "starts nothing: what the newest run of an endpoint's schedule found");
  add_command(*monitor_group, invocation, "keys", "The age of the keys that wrap data keys, which 'run' looks at too; exit status 3 when they are overdue and the policy does not let the monitor rotate them",
              [&invocation](const Output& output) { return monitor_keys(invocation, output); });
  auto environment = std::make_shared<std::string>("production");
  const auto add = [&](const char* group_name, const char* group_help, const char* name, const char* help, auto body) {
    CLI::App* group = app.add_subcommand(group_name, group_help)->require_subcommand(1);
    add_command(*group, invocation, name, help, [&invocation, environment, body](const Output& output) { return body(invocation, *environment, output); })
        ->add_option("--environment", *environment, "dev, staging or production (default); also: account")
        ->check(CLI::IsMember({"dev", "staging", "production", kNoEndpoint}));
    return group;
  };
  add("alarm", "The endpoint's alarms", "list", "Their states", list_alarms);
  CLI::App* incident = add("incident", "What alarms opened", "list", "Open and closed", list_incidents);
  add_command(*incident, invocation, "sync", "Opens and closes incidents as the AWS account's own guards find things", [&invocation](const Output& output) { return sync_incidents(invocation, output); });
}

}  // namespace redoubt::cli
