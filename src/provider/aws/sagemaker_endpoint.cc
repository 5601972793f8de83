// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sagemaker_endpoint.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "crypto/hash.h"
#include "provider/aws/about.h"
#include "provider/aws/answer.h"
#include "provider/aws/endpoint_requests.h"
#include "provider/aws/job_ending.h"
#include "provider/aws/object_text.h"
#include "provider/aws/resource_region.h"
#include "provider/aws/sagemaker_monitoring.h"

namespace redoubt::provider::aws {
namespace {

constexpr const char* kDescribeCure = "allow sagemaker:DescribeEndpoint to the role that runs this";
constexpr int kDeleteSecondsMax = 600, kStaleLooksMax = 6;

bool is_changing(const Json& endpoint) {
  static const std::set<std::string> kChanging = {"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"};
  return kChanging.contains(text(endpoint, "EndpointStatus"));
}

std::string state_of(const std::string& status) {
  if (status == "InService") return "serving";
  if (status == "Creating") return "starting";
  if (status == "Updating" || status == "SystemUpdating" || status == "RollingBack") return "updating";
  return status == "Deleting" ? "stopped" : "failed";
}

Json last_modified(const Json& endpoint) {
  const auto found = endpoint.find("LastModifiedTime");
  return found == endpoint.end() ? Json() : *found;
}

std::string logs_of(const std::string& endpoint) { return "see what its container says: the log group /aws/sagemaker/Endpoints/" + endpoint; }

}  // namespace

Result<std::unique_ptr<SagemakerEndpoint>> SagemakerEndpoint::create(SagemakerEndpointOptions options, Client& client, ObjectStore& models) {
  TRY(check_endpoint_options(options));
  TRY(check_region("repository of images", options.image_repository, client));
  TRY(check_region("key", options.kms_key, client));
  if (options.capture_uri.empty()) options.capture_uri = options.models_uri + "captures/";
  return std::unique_ptr<SagemakerEndpoint>(new SagemakerEndpoint(std::move(options), client, models));
}

Result<std::optional<Json>> SagemakerEndpoint::describe(const std::string& endpoint) {
  auto answer = client_.call("sagemaker", "DescribeEndpoint", {{"EndpointName", endpoint}});
  if (answer) return std::optional(std::move(*answer));
  if (is_missing(answer.error())) return std::optional<Json>();
  return fail_about(endpoint, answer.error(), kDescribeCure);
}

Result<std::optional<SagemakerEndpoint::Standing>> SagemakerEndpoint::find(const std::string& environment) {
  EndpointJournal journal(models_, environment);
  const std::string endpoint = endpoint_of(environment);
  auto shown = TRY(describe(endpoint));
  // A reader may not know yet of what was made a moment ago.
  const bool may_be_there = !shown && !TRY(journal.all()).empty();
  for (int look = 0; may_be_there && !shown && look < kStaleLooksMax; ++look) {
    pause_ms(options_.poll_ms);
    shown = TRY(describe(endpoint));
  }
  if (!shown) return std::optional<Standing>();
  auto made = TRY(journal.find(text(*shown, "EndpointConfigName")));
  return std::optional(Standing{std::move(*shown), std::move(made)});
}

Result<std::optional<SagemakerEndpoint::Standing>> SagemakerEndpoint::find_own(const std::string& environment) {
  auto found = TRY(find(environment));
  if (!found || is_own(*found)) return found;
  return fail(ErrorCode::already_exists, found->made ? "the endpoint is workspace " + found->made->workspace + "'s" : "an endpoint of this name is there that was not deployed from " + options_.models_uri,
              text(found->shown, "EndpointArn"), "choose another name_prefix for this workspace's endpoints; one of its own that was deployed from another bucket is stopped with that");
}

// Named by the release's digest: what is there is what belongs there.
Status SagemakerEndpoint::send_files(const EndpointSpec& spec) {
  const std::string prefix = release_prefix(spec);
  const auto there = TRY(models_.list(prefix));
  for (const auto& file : TRY(spec.files())) {
    if (std::binary_search(there.begin(), there.end(), prefix + file.path)) continue;
    const auto contents = TRY(file.open());
    RandomAccessSource source(*contents);
    TRY(models_.put(prefix + file.path, source, PutMode::replace));
  }
  return {};
}

Status SagemakerEndpoint::ensure(const char* what, const std::string& name, const Json& request) {
  const Json named = {{std::string(what) + "Name", name}};
  const auto there = client_.call("sagemaker", std::string("Describe") + what, named);
  if (there) return {};
  if (!is_missing(there.error())) return fail(explain_endpoint_refusal(there.error(), name, options_));
  const auto made = client_.call("sagemaker", std::string("Create") + what, request);
  if (made || client_.call("sagemaker", std::string("Describe") + what, named)) return {};  // somebody was faster, or the answer got lost
  return fail(explain_endpoint_refusal(made.error(), name, options_));
}

// The endpoint once it changes no more; nothing where it is gone.
Result<std::optional<Json>> SagemakerEndpoint::settle(const std::string& endpoint) {
  const int longest_s = change_s_max(options_);
  const WaitOptions wait{options_.poll_ms, options_.poll_ms, options_.wait_s_max > 0 ? std::min(options_.wait_s_max, longest_s) : longest_s};
  std::string status;
  const auto is_settled = [&status](const Json& now) -> Result<bool> {
    status = text(now, "EndpointStatus");
    return !is_changing(now);
  };
  for (int look = 0; look < kStaleLooksMax; ++look) {
    auto done = client_.wait_until("sagemaker", "DescribeEndpoint", {{"EndpointName", endpoint}}, is_settled, wait);
    if (done) return std::optional(std::move(*done));
    if (done.error().code == ErrorCode::limit_exceeded) {
      return fail(ErrorCode::unavailable, fmt::format("the endpoint was not healthy within {} s: it is {}", wait.total_s_max, status), endpoint,
                  logs_of(endpoint) + "; deploying again goes on waiting, endpoint.sagemaker.healthy_s_max and wait_s_max give it longer, 'redoubt endpoint stop' takes it down");
    }
    if (!is_missing(done.error())) return fail_about(endpoint, done.error(), kDescribeCure);
    pause_ms(options_.poll_ms);
  }
  return std::optional<Json>();
}

// Whether a change that nobody answered for is under way.
Result<bool> SagemakerEndpoint::has_begun(const Plan& plan, bool is_new) {
  for (int look = 0; look < kStaleLooksMax; ++look) {
    const auto now = TRY(describe(plan.endpoint));
    if (now && (is_new || is_changing(*now) || text(*now, "EndpointConfigName") == plan.entry.config)) return true;
    pause_ms(options_.poll_ms);
  }
  return false;
}

Status SagemakerEndpoint::begin(const Plan& plan, const EndpointSpec& spec, const std::optional<Standing>& before) {
  Json request = {{"EndpointName", plan.endpoint}, {"EndpointConfigName", plan.entry.config}};
  if (before) {
    request["DeploymentConfig"] = deployment_config(plan.endpoint, options_, spec.rollback);
    if (options_.instances_max > options_.instances) {  // as many instances as scaling has made by now
      request["RetainAllVariantProperties"] = true;
      request["ExcludeRetainedVariantProperties"] = Json::array({{{"VariantPropertyType", "DataCaptureConfig"}}});
    }
  } else {
    request["Tags"] = tags_of(spec);
  }
  const auto begun = client_.call("sagemaker", before ? "UpdateEndpoint" : "CreateEndpoint", request);
  if (begun) return {};
  // The answer may have got lost on its way.
  if (begun.error().code == ErrorCode::unavailable && TRY(has_begun(plan, !before))) return {};
  return fail(explain_endpoint_refusal(begun.error(), plan.endpoint, options_));
}

Result<Json> SagemakerEndpoint::change(const Plan& plan, const EndpointSpec& spec, const std::optional<Standing>& before) {
  TRY(begin(plan, spec, before));
  // A reader may see for a moment what was there before.
  const Json modified = before ? last_modified(before->shown) : Json();
  for (int look = 0; before && look < kStaleLooksMax; ++look) {
    const auto now = TRY(describe(plan.endpoint));
    if (!now || is_changing(*now) || text(*now, "EndpointConfigName") == plan.entry.config || last_modified(*now) != modified) break;
    pause_ms(options_.poll_ms);
  }
  const auto after = TRY(settle(plan.endpoint));
  if (!after) return fail(ErrorCode::unavailable, "the endpoint went away while it was made ready", plan.endpoint, "somebody else may have deleted it: deploy again");
  const std::string status = text(*after, "EndpointStatus"), reason = text(*after, "FailureReason");
  if (status == "InService" && text(*after, "EndpointConfigName") == plan.entry.config) return *after;
  if (status == "InService") {
    return fail(ErrorCode::gate_refused, "SageMaker went back to the version before: " + (reason.empty() ? "an alarm rose, or the new instances were not healthy" : reason), plan.endpoint,
                logs_of(plan.endpoint) + ", and the states of the alarms that rollback_alarms names");
  }
  return fail(ErrorCode::unavailable, fmt::format("the endpoint is {}: {}", status, reason.empty() ? "SageMaker names no reason" : reason), plan.endpoint, cure_of_failure(reason, logs_of(plan.endpoint), options_));
}

// What stands there before a deployment, changing no more; nothing where that never served.
Result<std::optional<SagemakerEndpoint::Standing>> SagemakerEndpoint::make_ready(const std::string& environment) {
  auto before = TRY(find_own(environment));
  if (before && is_changing(before->shown)) {
    TRY(settle(endpoint_of(environment)));
    before = TRY(find_own(environment));
  }
  const std::string status = before ? text(before->shown, "EndpointStatus") : "";
  if (status == "UpdateRollbackFailed") {
    return fail(ErrorCode::unavailable, "the endpoint could neither be changed nor changed back: " + text(before->shown, "FailureReason"), endpoint_of(environment), "take it down with 'redoubt endpoint stop', then deploy again");
  }
  if (status != "Failed" && status != "OutOfService") return before;
  TRY(stop(environment));
  return std::optional<Standing>();
}

Result<Json> SagemakerEndpoint::make(const Plan& plan, const EndpointSpec& spec, const std::optional<Standing>& before) {
  TRY(EndpointJournal(models_, spec.environment).put(plan.entry));
  TRY(send_files(spec));
  TRY(ensure("Model", plan.entry.model, plan.model_request));
  TRY(ensure("EndpointConfig", plan.entry.config, plan.config_request));
  TRY(watch(plan.endpoint, spec));
  return before && before->made->config == plan.entry.config ? Result<Json>(before->shown) : change(plan, spec, before);
}

// What a failed deployment made goes; a change that is still under way is found again by the next one.
void SagemakerEndpoint::tidy_up(const EndpointSpec& spec, const Plan& plan, bool is_new) {
  const auto now = find_own(spec.environment);
  if (!now || (*now && is_changing((*now)->shown))) return;
  const bool is_unwanted = !*now || (is_new && (*now)->made->config == plan.entry.config);
  const auto cleaned = is_unwanted ? stop(spec.environment) : prune(spec.environment, {(*now)->made->config, (*now)->made->before});
  if (!cleaned) spdlog::warn("what the failed deployment made is not all removed: {} ({})", cleaned.error().message, cleaned.error().where);
}

Result<EndpointStatus> SagemakerEndpoint::deploy(const EndpointSpec& spec) {
  const auto before = TRY(make_ready(spec.environment));
  Plan plan = plan_of(spec);
  if (before) plan.entry.before = before->made->config == plan.entry.config ? before->made->before : before->made->config;
  const auto after = make(plan, spec, before);
  if (!after) {
    tidy_up(spec, plan, !before);
    return fail(after.error());
  }
  TRY(scale(plan.endpoint));
  TRY(point_record(plan.endpoint, RecordMode::set));
  const auto tagged = client_.call("sagemaker", "AddTags", {{"ResourceArn", text(*after, "EndpointArn")}, {"Tags", tags_of(spec)}});
  if (!tagged) return fail(explain_endpoint_refusal(tagged.error(), plan.endpoint, options_));
  TRY(SagemakerMonitoring(options_, client_, models_).set(plan.endpoint, spec));
  TRY(prune(spec.environment, {plan.entry.config, plan.entry.before}));
  return status_of(*after, plan.entry);
}

Result<EndpointStatus> SagemakerEndpoint::status(const std::string& environment) {
  if (const auto shown = TRY(describe(endpoint_of(environment)))) {
    const auto made = TRY(EndpointJournal(models_, environment).find(text(*shown, "EndpointConfigName")));
    if (made && made->workspace == options_.workspace) return status_of(*shown, *made);
  }
  EndpointStatus none;
  none.state = "stopped";
  return none;
}

EndpointStatus SagemakerEndpoint::status_of(const Json& shown, const EndpointEntry& made) const {
  EndpointStatus status;
  status.state = state_of(text(shown, "EndpointStatus"));
  status.running = status.state == "serving" || status.state == "updating";
  status.url = fmt::format("https://runtime.sagemaker.{}.{}/endpoints/{}/invocations", client_.region(), client_.partition() == "aws-cn" ? "amazonaws.com.cn" : "amazonaws.com", text(shown, "EndpointName"));
  status.name = made.name;
  status.version = made.version;
  status.deployment = made.deployment;
  status.error = text(shown, "FailureReason");
  const auto created = shown.find("CreationTime");
  if (created != shown.end() && created->is_number()) status.started = to_rfc3339(TimePoint(std::chrono::milliseconds(static_cast<std::int64_t>(created->get<double>() * 1000))));
  return status;
}

Status SagemakerEndpoint::withdraw(const std::string& environment, const std::string& model, const std::string& version) {
  auto there = TRY(find(environment));
  if (there && is_own(*there) && is_changing(there->shown)) {  // only then it tells which version it goes on with
    TRY(settle(endpoint_of(environment)));
    there = TRY(find(environment));
  }
  return there && is_own(*there) && there->made->name == model && there->made->version == version ? stop(environment) : Status();
}

Status SagemakerEndpoint::stop(const std::string& environment) {
  const std::string endpoint = endpoint_of(environment);
  const auto there = TRY(find_own(environment));
  if (there && is_changing(there->shown) && text(there->shown, "EndpointStatus") != "Deleting") TRY(settle(endpoint));
  TRY(SagemakerMonitoring(options_, client_, models_).remove(endpoint, environment));
  if (there) TRY(remove_endpoint(endpoint));
  const auto unwatched = client_.call("cloudwatch", "DeleteAlarms", {{"AlarmNames", endpoint_alarm_names(endpoint)}});
  if (!unwatched && !is_missing(unwatched.error())) return fail_about(endpoint, unwatched.error(), "allow cloudwatch:DeleteAlarms");
  return prune(environment, {});
}

Status SagemakerEndpoint::remove_endpoint(const std::string& endpoint) {
  TRY(unscale(client_, endpoint));
  TRY(point_record(endpoint, RecordMode::remove));
  const auto now = TRY(describe(endpoint));
  if (!now || text(*now, "EndpointStatus") != "Deleting") TRY(remove("Endpoint", endpoint));
  const auto gone = client_.wait_until("sagemaker", "DescribeEndpoint", {{"EndpointName", endpoint}}, [](const Json&) -> Result<bool> { return false; }, {options_.poll_ms, options_.poll_ms, kDeleteSecondsMax});
  return gone || is_missing(gone.error()) ? Status() : Status(fail_about(endpoint, gone.error(), "look at it in the console, then stop it again"));
}

Status SagemakerEndpoint::remove(const char* what, const std::string& name) {
  const auto removed = client_.call("sagemaker", std::string("Delete") + what, {{std::string(what) + "Name", name}});
  return removed || is_missing(removed.error()) ? Status() : Status(fail(explain_endpoint_refusal(removed.error(), name, options_)));
}

Status SagemakerEndpoint::watch(const std::string& endpoint, const EndpointSpec& spec) {
  for (const auto& alarm : endpoint_alarms(endpoint, spec, options_)) {
    if (auto done = client_.call("cloudwatch", "PutMetricAlarm", alarm); !done) return fail_about(text(alarm, "AlarmName"), done.error(), "allow cloudwatch:PutMetricAlarm and DeleteAlarms to the role that runs this");
  }
  return {};
}

Status SagemakerEndpoint::scale(const std::string& endpoint) {
  if (options_.instances_max <= options_.instances) return unscale(client_, endpoint);
  auto done = set_scaling(client_, endpoint, options_);
  return done ? Status() : Status(fail_about(endpoint, done.error(), "allow application-autoscaling:RegisterScalableTarget and PutScalingPolicy, and iam:CreateServiceLinkedRole for SageMaker's scaling"));
}

Status SagemakerEndpoint::point_record(const std::string& endpoint, RecordMode mode) {
  if (options_.failover.record.empty()) return {};
  const std::string cure = "allow route53:ChangeResourceRecordSets and ListResourceRecordSets on the hosted zone " + options_.failover.hosted_zone;
  Json request = record_change(options_.failover, endpoint, client_, "UPSERT");
  Json& change = request["ChangeBatch"]["Changes"][0];
  if (mode == RecordMode::remove) {
    // A record goes only by the very values that it has.
    const auto there = client_.call("route53", "ListResourceRecordSets", {{"HostedZoneId", options_.failover.hosted_zone}, {"StartRecordName", options_.failover.record}, {"StartRecordType", "CNAME"}});
    if (!there) return fail_about(options_.failover.record, there.error(), cure);
    const Json sets = json_or(*there, "ResourceRecordSets", Json::array());
    const auto found = std::find_if(sets.begin(), sets.end(), [&](const Json& set) { return text(set, "SetIdentifier") == text(change["ResourceRecordSet"], "SetIdentifier"); });
    if (found == sets.end()) return {};
    change = {{"Action", "DELETE"}, {"ResourceRecordSet", *found}};
  }
  const auto done = client_.call("route53", "ChangeResourceRecordSets", request);
  return done ? Status() : Status(fail_about(options_.failover.record, done.error(), cure));
}

Json SagemakerEndpoint::tags_of(const EndpointSpec& spec) const {
  Json tags = tags_of_environment(spec.environment, options_);
  for (const auto& [key, value] : {std::pair{"redoubt:model", &spec.model}, {"redoubt:version", &spec.version}, {"redoubt:deployment", &spec.deployment}}) tags.push_back({{"Key", key}, {"Value", *value}});
  return tags;
}

SagemakerEndpoint::Plan SagemakerEndpoint::plan_of(const EndpointSpec& spec) const {
  Plan plan;
  plan.endpoint = endpoint_of(spec.environment);
  const Json tags = tags_of_environment(spec.environment, options_);
  const auto named = [&](const char* marker, const Json& request) { return plan.endpoint + marker + crypto::sha256(dump_json(request)).hex().substr(0, 16); };
  plan.model_request = model_request(spec, options_);
  plan.entry = {"", named("-m", plan.model_request), release_prefix(spec), options_.workspace, spec.model, spec.version, spec.deployment, ""};
  plan.model_request.update({{"ModelName", plan.entry.model}, {"Tags", tags}});
  plan.config_request = config_request(plan.entry.model, spec, options_);
  plan.entry.config = named("-c", plan.config_request);
  plan.config_request.update({{"EndpointConfigName", plan.entry.config}, {"Tags", tags}});
  return plan;
}

// Removes the configurations, models and files that were made for the environment but those that the kept configurations stand on.
Status SagemakerEndpoint::prune(const std::string& environment, const std::set<std::string>& kept_configs) {
  EndpointJournal journal(models_, environment);
  std::set<std::string> models, files;
  std::vector<EndpointEntry> going;
  for (auto& entry : TRY(journal.all())) {
    if (kept_configs.contains(entry.config)) {
      models.insert(entry.model);
      files.insert(entry.files);
    } else if (entry.workspace == options_.workspace) {
      going.push_back(std::move(entry));
    }
  }
  for (const auto& entry : going) {
    TRY(remove("EndpointConfig", entry.config));
    if (!models.contains(entry.model)) TRY(remove("Model", entry.model));
    if (!files.contains(entry.files)) {
      for (const auto& key : TRY(models_.list(entry.files))) TRY(remove_if_there(models_, key));
    }
    TRY(journal.remove(entry.config));
  }
  return {};
}

}  // namespace redoubt::provider::aws
