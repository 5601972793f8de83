// SPDX-License-Identifier: Apache-2.0
#include "cli/deploy_version.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/alarm_reports.h"
#include "cli/audit.h"
#include "cli/endpoint_guards.h"
#include "cli/endpoint_parts.h"
#include "cli/image_check.h"
#include "cli/image_signing.h"
#include "gateway/access.h"
#include "gateway/rollout.h"
#include "monitor/drift.h"
#include "pipeline/config.h"
#include "stages/deploy/admission.h"
#include "stages/deploy/serving_needs.h"
#include "telemetry/options.h"
#include "vault/job_files.h"

namespace redoubt::cli {
namespace {

using stages::deploy::Admission;

// Nothing where the training data has too few prompts for one.
Result<std::optional<provider::DriftBaseline>> baseline_of(Session& session, const Digest& training_data) {
  const auto baseline = monitor::make_baseline(TRY(training_prompts(session, training_data)));
  if (baseline) return std::optional(provider::DriftBaseline{baseline->to_statistics(), baseline->to_constraints()});
  if (baseline.error().code != ErrorCode::undecided) return fail(baseline.error());
  return std::optional<provider::DriftBaseline>();
}

// An endpoint whose monitor runs elsewhere has its alarm from the start. One that can't be made now is made by the first 'monitor run'.
void define_alarm(Session& session, const std::string& environment, const pipeline::WatchOptions& watch) {
  const auto define = [&]() -> Status {
    if (TRY(session.endpoint_monitor()) == nullptr) return {};
    stages::watch::AlarmLimits limits;
    limits.failures_max = watch.failures_max;
    return TRY(AlarmReports::create(session, environment, watch, stages::watch::monitored_alarms(limits)))->look({});
  };
  if (auto defined = define(); !defined) spdlog::warn("the alarm DataDrift of {} is not there yet: {} ({})", environment, defined.error().message, defined.error().where);
}

provider::EndpointSpec spec_of(Session& session, const governance::Deployment& deployment, const pipeline::DeployOptions& endpoint, const pipeline::WatchOptions& watch, const DeployTarget& target) {
  const auto& inputs = deployment.record().inputs;
  provider::EndpointSpec spec;
  spec.environment = endpoint.environment;
  spec.model = target.name;
  spec.version = target.version;
  spec.deployment = deployment.statement().tagged();
  spec.image = inputs.at("image").tagged();
  spec.release = inputs.at("release").tagged();
  spec.files = [&session, release = inputs.at("release")] { return vault::job_files(session.store(), release); };
  spec.baseline = [&session, data = inputs.at("training_data")] { return baseline_of(session, data); };
  spec.errors_per_minute_max = watch.error_rate_per_minute_max;
  spec.latency_p99_ms_max = watch.latency_p99_ms_max;
  spec.engine = endpoint.engine();
  spec.capture = endpoint.capture.share > 0;
  spec.capture_share = endpoint.capture.share;
  spec.rollback = target.rollback;
  return spec;
}

// The plan by which it comes into service; null: at once.
Result<Json> rollout_plan(Session& session, const DeployTarget& target, const pipeline::DeployOptions& endpoint) {
  if (target.at_once || target.rollback) return Json();
  const Json& given = target.rollout.is_null() ? endpoint.rollout : target.rollout;
  if (given.empty()) return Json();
  const auto plan = TRY(gateway::RolloutPlan::from_json(given));
  if (!TRY(session.endpoint_host())->rolls_out())
    return fail(ErrorCode::unsupported, "the host of this workspace's endpoints rolls out by its own settings", "rollout", "set canary_percent in its providers block, and leave deploy.rollout out");
  return plan.to_json();
}

// Promotion is by digest: the bytes that stand in the other environment, and the image that runs them, or nothing.
Result<std::optional<Digest>> promoted_statement(Session& session, const DeployTarget& target, const stages::deploy::AdmittedRelease& release) {
  if (target.promoted_from.empty()) return std::optional<Digest>();
  const auto stands = TRY(stages::deploy::current_deployment(session.evidence(), target.promoted_from));
  if (!stands) return fail(ErrorCode::not_found, "nothing stands in " + target.promoted_from, target.promoted_from, "deploy there first: redoubt deploy NAME/VERSION --environment " + target.promoted_from);
  const auto& inputs = stands->record.inputs;
  if (inputs.at("release") != release.release() || inputs.at("image") != release.image())
    return fail(ErrorCode::gate_refused, "what stands in " + target.promoted_from + " has other bytes: " + inputs.at("release").tagged(), release.release().tagged(), "deploy this version to " + target.promoted_from + " first");
  return std::optional(stands->statement);
}

Result<std::set<std::string>> image_signers(Session& session, const Digest& image, const governance::Policy& policy) {
  std::vector<NamedKey> keys;
  for (const auto& signer : policy.image_signers) {
    auto key = TRY(crypto::PublicKey::from_pem(signer.key));
    keys.push_back({signer.name, std::move(key)});
  }
  if (!policy.signatures_from) return signers_of(*TRY(session.images()), image, keys);
  const auto& from = *policy.signatures_from;
  const auto reference = TRY(provider::registry::parse_remote_reference(from.repository));
  const auto registry = TRY(open_registry(&session, reference, {from.ca_file, from.login_secret, {}}, {.push = false}));
  return signers_of(registry, image, keys);
}

// While it is seen what stands and recorded what follows: a rollback comes beside whoever has the writer's lock.
Result<FileLock> lock_deployments(Session& session) { return FileLock::acquire(session.workspace().layout().root / "deployments.lock"); }

}  // namespace

Status check_serving(Session& session, const Digest& artifact, const std::string& folder, const pipeline::DeployOptions& endpoint) {
  return stages::deploy::check_serving(session.store(), artifact, folder, {endpoint.slots, endpoint.context, TRY(session.endpoint_host())->worker_bytes_max()});
}

Status record_rollout(Session& session, const stages::deploy::CurrentDeployment& candidate, const stages::deploy::CurrentDeployment& current, stages::deploy::RolloutAction action,
                      const std::string& reason) {
  const auto event = TRY(stages::deploy::rollout_event(session.evidence(), candidate, current, action, reason, *TRY(session.registry())));
  TRY(session.record_event(governance::kRolloutEvent, event));
  (void)TRY(session.registry());  // which follows the event
  return {};
}

Status record_rollout(Session& session, const std::string& environment, stages::deploy::RolloutAction action, const std::string& reason) {
  const auto lock = TRY(lock_deployments(session));
  const auto standing = TRY(stages::deploy::standing_of(session.evidence(), environment));
  if (!standing.candidate) return fail(ErrorCode::not_found, "no version is being rolled out", environment);
  return record_rollout(session, *standing.candidate, *standing.current, action, reason);
}

namespace {

// Of a version that another program registered, or whose guards' packs were changed since.
Status check_options(const pipeline::DeployOptions& endpoint) {
  (void)TRY(make_guards(endpoint.guards));
  if (!endpoint.scale.empty()) (void)TRY(gateway::ScaleOptions::from_json(endpoint.scale));
  if (!endpoint.rollout.empty()) (void)TRY(gateway::RolloutPlan::from_json(endpoint.rollout));
  (void)TRY(gateway::read_access(endpoint.access));
  (void)TRY(telemetry::read_telemetry(endpoint.telemetry));
  return {};
}

}  // namespace

Result<Deployed> deploy_version(Session& session, const DeployTarget& target) {
  TRY(audit_session(session).sound("deployment is refused"));
  auto* registry = TRY(session.registry());
  auto* recorder = TRY(session.recorder());
  const auto version = TRY(registry->get(target.name, target.version));
  const auto registered = TRY(recorder->load<governance::RegisterStep>(TRY(Digest::parse(version.statement))));
  const Json settings = json_or(registered.record().parameters, "settings", Json::object());
  auto endpoint = TRY(pipeline::DeployOptions::from_json(json_or(settings, "endpoint", Json::object())));
  if (!target.environment.empty()) endpoint.environment = target.environment;

  Admission admission({session.evidence(), *registry, session.store(), *recorder, session.clock(),
                       [&session](const std::string& identity) { return session.workspace().identities().require(identity, governance::Permission::approve).has_value(); },
                       [&session, &settings](const Digest& image) { return scan_image(session, image, json_or(settings, "scan", Json::object())); },
                       [&session](const Digest& image, const governance::Policy& asked) { return image_signers(session, image, asked); }});
  const auto policy = TRY(governance::Policy::from_json(json_or(settings, "policy", Json::object())));
  const auto release = TRY(admission.admit(target.name, target.version, endpoint.environment, policy));
  TRY(check_options(endpoint));
  TRY(check_serving(session, release.release(), "base/", endpoint));
  stages::deploy::DeploymentOptions deployment_options;
  deployment_options.endpoint = {{"serve", endpoint.to_json()}, {"watch", json_or(settings, "watch", Json::object())}, {"scan", json_or(settings, "scan", Json::object())}};
  deployment_options.rollback = target.rollback;
  deployment_options.rollout = TRY(rollout_plan(session, target, endpoint));
  deployment_options.promoted_from = TRY(promoted_statement(session, target, release));
  auto lock = std::optional(TRY(lock_deployments(session)));
  auto deployment = TRY(stages::deploy::record_deployment(release, deployment_options, session.evidence(), *registry, *recorder));
  (void)TRY(session.registry());  // the registry follows the statement
  lock.reset();
  const auto watch = TRY(pipeline::WatchOptions::from_json(json_or(settings, "watch", Json::object())));
  auto status = TRY(TRY(session.endpoint_host())->deploy(spec_of(session, deployment, endpoint, watch, target)));
  define_alarm(session, endpoint.environment, watch);
  return Deployed{std::move(deployment), std::move(status)};
}

}  // namespace redoubt::cli
