// SPDX-License-Identifier: Apache-2.0
//
// redoubt deploy, rollback, endpoint, key.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "cli/commands.h"
#include "cli/deploy_version.h"
#include "cli/endpoint_daemon.h"
#include "cli/endpoint_parts.h"
#include "cli/local_endpoint.h"
#include "gateway/access.h"
#include "governance/registry_view.h"

namespace redoubt::cli {
namespace {

struct DeploymentOptions {
  std::string version, environment, name, key_id;
  std::vector<std::string> scopes, models, limits;
  std::string tenant;
  bool aws = false;
  int requests_per_minute = 0, concurrent_requests = gateway::ApiKeyInfo().concurrent_requests, days = 0, overlap_hours = 24;
  // Of a rollout; 0 or -1: not given.
  int canary = 0, shadow = 0, wait_s = -1, bake_s = -1, errors_max = -1;
  bool blue_green = false, at_once = false;
  std::string from = "staging";
};

// What the flags of `deploy` ask for; null: what the version was registered with.
Result<Json> rollout_asked_for(const DeploymentOptions& options) {
  const int kinds = (options.canary > 0) + (options.shadow > 0) + options.blue_green + options.at_once;
  if (kinds > 1) return fail(ErrorCode::invalid_argument, "one way to bring a version into service, not several", "--canary, --shadow, --blue-green, --at-once");
  const bool is_tuned = options.wait_s >= 0 || options.bake_s >= 0 || options.errors_max >= 0;
  if (kinds == 0 || options.at_once) return is_tuned ? Result<Json>(fail(ErrorCode::invalid_argument, "these belong to a rollout", "--wait-s, --bake-s, --errors-max", "give --canary, --shadow or --blue-green too")) : Json();
  Json plan = {{"kind", options.canary > 0 ? "canary" : options.shadow > 0 ? "shadow" : "blue_green"}};
  if (const int percent = options.canary + options.shadow; percent > 0) plan["percent"] = percent;
  if (options.wait_s >= 0) plan["wait_s"] = options.wait_s;
  if (options.bake_s >= 0) plan["bake_s"] = options.bake_s;
  if (options.errors_max >= 0) plan["errors_max"] = options.errors_max;
  return plan;
}

std::string environment_of(const DeploymentOptions& options) { return options.environment.empty() ? "production" : options.environment; }

// How a client checks who answers.
std::string trust_of(const provider::EndpointStatus& status) { return status.ca_file.empty() ? "" : fmt::format(" (certificates: {})", status.ca_file); }

std::string describe_rollout(const Json& rollout) {
  return fmt::format("{}/{} is tried beside it ({}, {} % of the requests, {}): {} answers, {} errors in the last minute", rollout.value("name", ""), rollout.value("version", ""), rollout.value("kind", ""),
                     rollout.value("percent", 0), rollout.value("step", ""), rollout.value("answers", 0), rollout.value("errors", 0));
}

int answer(const Output& output, const provider::EndpointStatus& status) {
  std::string text = fmt::format("{}/{} is served at {}{}", status.name, status.version, status.url, trust_of(status));
  if (!status.rollout.empty()) text += "\n" + describe_rollout(status.rollout);
  output.result(status.to_json(), text);
  return 0;
}

Result<std::unique_ptr<Session>> open_for_deploying(Invocation& invocation) {
  auto session = TRY(Session::open(invocation.global, Duty::deploy));
  TRY(session->require(governance::Permission::deploy));
  return session;
}

Result<int> deploy(Invocation& invocation, const DeploymentOptions& options, const Output& output) {
  const auto name = TRY(governance::parse_version_name(options.version));
  DeployTarget target{name.name, name.version, options.environment};
  target.at_once = options.at_once;
  target.rollout = TRY(rollout_asked_for(options));
  auto session = TRY(open_for_deploying(invocation));
  const auto lock = TRY(session->workspace().lock());
  return answer(output, TRY(deploy_version(*session, target)).status);
}

// Ends a rollout either way, whatever else writes in the workspace. What served before has never stopped, and the candidate was admitted when it
// came: there is nothing to start and nothing to check again, so that it takes no longer than an entry in the ledger.
Result<int> decide_rollout(Session& session, const std::string& environment, const stages::deploy::Standing& standing, stages::deploy::RolloutAction action, const Output& output) {
  TRY(record_rollout(session, environment, action, "by command"));
  const auto& leaves = action == stages::deploy::RolloutAction::promoted ? *standing.current : *standing.candidate;
  const auto host = TRY(session.endpoint_host());
  TRY(host->withdraw(environment, leaves.name(), leaves.version()));  // the endpoint looks at the ledger
  return answer(output, TRY(host->status(environment)));
}

Result<int> finish_rollout(Invocation& invocation, const DeploymentOptions& options, const Output& output) {
  auto session = TRY(open_for_deploying(invocation));
  const auto standing = TRY(stages::deploy::standing_of(session->evidence(), environment_of(options)));
  if (!standing.candidate) return fail(ErrorCode::not_found, "no version is being rolled out", environment_of(options), "begin with: redoubt deploy NAME/VERSION --canary 10");
  if (TRY(stages::deploy::is_revoked(session->evidence(), *standing.candidate))) return fail(ErrorCode::gate_refused, "the version was revoked", standing.candidate->name() + "/" + standing.candidate->version());
  return decide_rollout(*session, environment_of(options), standing, stages::deploy::RolloutAction::promoted, output);
}

// The bytes that stand in one environment, into the next.
Result<int> promote(Invocation& invocation, const DeploymentOptions& options, const Output& output) {
  const std::string environment = environment_of(options);
  if (options.from == environment) return fail(ErrorCode::invalid_argument, "a version is promoted from one environment to another", environment);
  auto session = TRY(open_for_deploying(invocation));
  const auto lock = TRY(session->workspace().lock());
  const auto stands = TRY(stages::deploy::current_deployment(session->evidence(), options.from));
  if (!stands) return fail(ErrorCode::not_found, "nothing stands in " + options.from, options.from, "deploy there first: redoubt deploy NAME/VERSION --environment " + options.from);
  DeployTarget target{stands->name(), stands->version(), environment};
  target.at_once = options.at_once;
  target.rollout = TRY(rollout_asked_for(options));
  target.promoted_from = options.from;
  return answer(output, TRY(deploy_version(*session, target)).status);
}

// Without the writer's lock, which a pipeline holds for as long as its training takes.
Result<int> rollback(Invocation& invocation, const DeploymentOptions& options, const Output& output) {
  auto session = TRY(open_for_deploying(invocation));
  const std::string environment = environment_of(options);
  const auto standing = TRY(stages::deploy::standing_of(session->evidence(), environment));
  if (standing.candidate) return decide_rollout(*session, environment, standing, stages::deploy::RolloutAction::rolled_back, output);
  const auto previous = TRY(stages::deploy::previous_deployment(session->evidence(), environment));
  if (!previous) return fail(ErrorCode::not_found, "there is no version before the present one that may still be served", environment, "deploy another version: redoubt deploy NAME/VERSION");
  return answer(output, TRY(deploy_version(*session, {.name = previous->name(), .version = previous->version(), .environment = environment, .rollback = true})).status);
}

// A workspace that does not open still has its endpoint's file.
Result<provider::EndpointStatus> status_of(Invocation& invocation, const std::string& environment) {
  const auto session = Session::open(invocation.global);
  if (!session) return endpoint_process(invocation.global, environment).status();
  return TRY((*session)->endpoint_host())->status(environment);
}

Result<int> show_status(Invocation& invocation, const DeploymentOptions& options, const Output& output) {
  const auto status = TRY(status_of(invocation, environment_of(options)));
  std::string text = fmt::format("{}: {}", environment_of(options), status.state);
  if (status.running) text += fmt::format(", {}/{} at {}{}{}", status.name, status.version, status.url, trust_of(status), status.pid == 0 ? "" : fmt::format(", process {}", status.pid));
  if (!status.rollout.empty()) text += "\n" + describe_rollout(status.rollout);
  if (!status.error.empty()) text += "\nerror: " + status.error;
  output.result(status.to_json(), text);
  return 0;
}

Result<int> stop(Invocation& invocation, const DeploymentOptions& options, const Output& output) {
  // What was changed from outside must not keep an endpoint running.
  const auto session = open_for_deploying(invocation);
  if (!session && session.error().code != ErrorCode::tampered) return fail(session.error());
  TRY(session ? TRY((*session)->endpoint_host())->stop(environment_of(options)) : endpoint_process(invocation.global, environment_of(options)).stop());
  output.result({{"environment", environment_of(options)}, {"stopped", true}}, environment_of(options) + " is stopped");
  return 0;
}

// Starts the process again for what was deployed, after a restart of the machine.
Result<int> start(Invocation& invocation, const DeploymentOptions& options, const Output& output) {
  auto session = TRY(open_for_deploying(invocation));
  const auto current = TRY(stages::deploy::current_deployment(session->evidence(), environment_of(options)));
  if (!current) return fail(ErrorCode::not_found, "nothing was deployed to this environment", environment_of(options), "redoubt deploy NAME/VERSION");
  return answer(output, TRY(deploy_version(*session, {.name = current->name(), .version = current->version(), .environment = environment_of(options), .at_once = true})).status);
}

// NAME=NUMBER, as docs/endpoint.md lists them.
Result<gateway::UseLimits> parse_limits(const std::vector<std::string>& texts) {
  Json limits = Json::object();
  for (const auto& text : texts) {
    const auto equals = std::min(text.find('='), text.size());
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data() + std::min(equals + 1, text.size()), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return fail(ErrorCode::invalid_argument, "a limit is NAME=NUMBER", text, "for example tokens_per_day=100000");
    limits[text.substr(0, equals)] = value;
  }
  return gateway::use_limits_of(limits, "--limit");
}

using MadeKey = std::pair<gateway::ApiKeyInfo, Secret>;

int show_key(Invocation& invocation, const DeploymentOptions& options, const Output& output, const MadeKey& made) {
  // The key is shown whatever the endpoint does: nobody else has it.
  if (auto told = endpoint_process(invocation.global, environment_of(options)).reload(); !told) output.say(told.error().message);
  const auto& info = made.first;
  const std::string key = to_text(made.second.reveal(SecretAccess::for_user()));
  Json value = {{"id", info.id}, {"name", info.name}};
  if (info.expires) value["expires"] = to_rfc3339(*info.expires);
  if (!info.is_aws) {
    value["key"] = key;
    output.result(value, key);
  } else {
    value["access_key_id"] = gateway::access_key_id_of(info);
    value["secret_access_key"] = key;
    output.result(value, fmt::format("[default]\naws_access_key_id = {}\naws_secret_access_key = {}", gateway::access_key_id_of(info), key));
  }
  output.say("this key is not shown again");
  return 0;
}

// Whether what stands counts money. Where nothing does, what comes may.
Result<bool> counts_money(Session& session, const std::string& environment) {
  const auto current = TRY(stages::deploy::current_deployment(session.evidence(), environment));
  if (!current) return true;
  const auto serve = TRY(pipeline::DeployOptions::from_json(current->record.parameters["endpoint"]["serve"]));
  const auto access = TRY(gateway::read_access(serve.access));
  return access.prices.prompt > 0 || access.prices.answer > 0;
}

Result<int> create_key(Invocation& invocation, const DeploymentOptions& options, const Output& output) {
  auto session = TRY(open_for_deploying(invocation));
  auto keys = TRY(open_api_keys(*session, environment_of(options)));
  gateway::ApiKeyInfo wanted;
  wanted.name = options.name;
  wanted.requests_per_minute = options.requests_per_minute;
  wanted.concurrent_requests = options.concurrent_requests;
  wanted.tenant = options.tenant;
  wanted.models = {options.models.begin(), options.models.end()};
  if (wanted.models.contains("")) return fail(ErrorCode::invalid_argument, "a grant names a model", "--model", "leave it out for all models");
  wanted.limits = TRY(parse_limits(options.limits));
  if ((wanted.limits.money_per_day > 0 || wanted.limits.money_per_month > 0) && !TRY(counts_money(*session, environment_of(options))))
    output.say("a limit of money is never reached in " + environment_of(options) + ": what is deployed there has no deploy.access.prices");
  wanted.is_aws = options.aws;
  if (!options.scopes.empty()) wanted.scopes.clear();
  for (const auto& scope : options.scopes) wanted.scopes.insert(TRY(gateway::parse_scope(scope)));
  if (options.days > 0) wanted.expires = session->clock().now() + std::chrono::days(options.days);
  MadeKey created;  // set by the change
  TRY(session->record_change("key", [&]() -> Result<Json> {
    created = TRY(keys->create(std::move(wanted)));
    return Json{{"action", "create"}, {"id", created.first.id}, {"environment", environment_of(options)}};
  }));
  return show_key(invocation, options, output, created);
}

Result<int> rotate_key(Invocation& invocation, const DeploymentOptions& options, const Output& output) {
  auto session = TRY(open_for_deploying(invocation));
  auto keys = TRY(open_api_keys(*session, environment_of(options)));
  MadeKey created;
  TRY(session->record_change("key", [&]() -> Result<Json> {
    created = TRY(keys->rotate(options.key_id, std::chrono::hours(options.overlap_hours)));
    return Json{{"action", "rotate"}, {"id", created.first.id}, {"replaces", options.key_id}, {"environment", environment_of(options)}};
  }));
  return show_key(invocation, options, output, created);
}

Result<int> revoke_key(Invocation& invocation, const DeploymentOptions& options, const Output& output) {
  auto session = TRY(open_for_deploying(invocation));
  auto keys = TRY(open_api_keys(*session, environment_of(options)));
  TRY(session->record_change("key", [&]() -> Result<Json> {
    TRY(keys->revoke(options.key_id));
    return Json{{"action", "revoke"}, {"id", options.key_id}, {"environment", environment_of(options)}};
  }));
  TRY(endpoint_process(invocation.global, environment_of(options)).reload());
  output.result({{"id", options.key_id}, {"revoked", true}}, options.key_id + " is revoked");
  return 0;
}

Result<int> list_keys(Invocation& invocation, const DeploymentOptions& options, const Output& output) {
  auto session = TRY(open_for_deploying(invocation));
  auto keys = TRY(open_api_keys(*session, environment_of(options)));
  Json values = Json::array();
  Table table{{"ID", "NAME", "CREATED", "EXPIRES", "REVOKED"}, {}};
  for (const auto& key : keys->list()) {
    const auto time = [](const std::optional<TimePoint>& at) { return at ? to_rfc3339(*at) : std::string("-"); };
    values.push_back({{"id", key.id}, {"name", key.name}, {"created", to_rfc3339(key.created)}, {"expires", time(key.expires)}, {"revoked", time(key.revoked)},
                      {"scopes", gateway::to_json(key.scopes)}, {"requests_per_minute", key.requests_per_minute}, {"concurrent_requests", key.concurrent_requests},
                      {"tenant", key.tenant}, {"models", key.models}, {"limits", gateway::to_json(key.limits)}, {"aws", key.is_aws}, {"replaces", key.replaces}});
    table.rows.push_back({key.id, key.name, to_rfc3339(key.created), time(key.expires), time(key.revoked)});
  }
  output.result(values, table.rows.empty() ? "no keys; make one with 'redoubt key create --name NAME'" : render(table));
  return 0;
}

}  // namespace

void add_deploy_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<DeploymentOptions>();
  const auto add = [&](CLI::App& parent, const char* name, const char* help, auto body) {
    CLI::App* command = add_command(parent, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
    command->add_option("--environment", options->environment, "dev, staging or production (default)")->check(CLI::IsMember({"dev", "staging", "production"}));
    return command;
  };
  const auto add_plan = [&](CLI::App* command) {
    command->add_option("--canary", options->canary, "percent of the requests that it answers first")->check(CLI::Range(1, 100));
    command->add_option("--shadow", options->shadow, "percent of the requests that it gets copies of first")->check(CLI::Range(1, 100));
    command->add_flag("--blue-green", options->blue_green, "all requests at once, and back if an alarm rises");
    command->add_flag("--at-once", options->at_once, "whatever rollout it was registered with");
    command->add_option("--wait-s", options->wait_s, "how long it is tried (default 300)")->check(CLI::Range(0, 7 * 24 * 3600));
    command->add_option("--bake-s", options->bake_s, "how long alarms turn it back after that (default 300)")->check(CLI::Range(0, 7 * 24 * 3600));
    command->add_option("--errors-max", options->errors_max, "errors a minute that it may have (default 3)")->check(CLI::Range(0, 1'000'000));
  };
  CLI::App* deploys = add(app, "deploy", "Admits an approved version and serves it", deploy);
  deploys->add_option("version", options->version, "NAME/VERSION")->required();
  add_plan(deploys);
  CLI::App* promotes = add(app, "promote", "Serves the very bytes that stand in another environment", promote);
  promotes->add_option("--from", options->from, "that environment (default staging)")->check(CLI::IsMember({"dev", "staging", "production"}));
  add_plan(promotes);
  CLI::App* rollouts = app.add_subcommand("rollout", "A version that is tried beside what is served")->require_subcommand(1);
  add(*rollouts, "finish", "Serves it for good now", finish_rollout);
  add(app, "rollback", "Ends a rollout, or serves the version before the present one", rollback);
  CLI::App* endpoint = app.add_subcommand("endpoint", "The HTTPS endpoint's process")->require_subcommand(1);
  add(*endpoint, "status", "Whether it runs, where, and what it serves", show_status);
  add(*endpoint, "start", "Starts it again for what was deployed", start);
  add(*endpoint, "stop", "Finishes the requests under way and ends it", stop);
  add(*endpoint, "run", "Serves in this process (what 'deploy' starts)",
      [](Invocation& i, const DeploymentOptions& o, const Output&) { return run_endpoint(i.global, environment_of(o)); });
  CLI::App* key = app.add_subcommand("key", "API keys of an endpoint")->require_subcommand(1);
  CLI::App* create = add(*key, "create", "Makes a key and shows it once", create_key);
  create->add_option("--name", options->name, "whose it is")->required();
  create->add_option("--scope", options->scopes, "invoke, models, health, metrics (default: the first three)");
  create->add_option("--model", options->models, "a model that it may ask, by name; may be repeated (default: all)");
  create->add_option("--tenant", options->tenant, "whose limits it shares (default: its own)");
  create->add_option("--limit", options->limits, "NAME=NUMBER, such as tokens_per_day=100000; may be repeated");
  create->add_flag("--aws", options->aws, "an access key pair, for clients that sign requests as AWS's do");
  create->add_option("--requests-per-minute", options->requests_per_minute, "a bucket of so many, which fills steadily (default: the endpoint's deploy.requests_per_minute)")->check(CLI::Range(1, 1'000'000));
  create->add_option("--concurrent-requests", options->concurrent_requests, "at once (default 32)")->check(CLI::Range(1, 100'000));
  create->add_option("--days", options->days, "expires after so many days")->check(CLI::Range(1, 3650));
  CLI::App* rotate = add(*key, "rotate", "Makes a new key in the place of one, which works on for a while", rotate_key);
  rotate->add_option("id", options->key_id, "its id, as 'key list' shows it")->required();
  rotate->add_option("--overlap-hours", options->overlap_hours, "how long the old one works on (default 24)")->check(CLI::Range(0, 24 * 90));
  add(*key, "revoke", "Makes a key useless", revoke_key)->add_option("id", options->key_id, "its id, as 'key list' shows it")->required();
  add(*key, "list", "Ids and names, no keys", list_keys);
}

}  // namespace redoubt::cli
