// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sagemaker_endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "crypto/hash.h"
#include "provider/aws/about.h"
#include "provider/aws/endpoint_requests.h"
#include "provider/aws/job_ending.h"
#include "provider/aws/sagemaker_monitoring.h"

namespace redoubt::provider::aws {
namespace {

constexpr const char* kWorkspaceTag = "redoubt:workspace";
constexpr const char* kMonitoringTag = "redoubt:monitoring";
constexpr int kDeleteSecondsMax = 600, kStaleLooksMax = 6;

std::string text(const Json& object, const char* member) { return json_or(object, member, ""); }

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
  if (options.capture_uri.empty()) options.capture_uri = options.models_uri + "captures/";
  return std::unique_ptr<SagemakerEndpoint>(new SagemakerEndpoint(std::move(options), client, models));
}

Result<std::optional<Json>> SagemakerEndpoint::describe(const std::string& endpoint) {
  auto answer = client_.call("sagemaker", "DescribeEndpoint", {{"EndpointName", endpoint}});
  if (answer) return std::optional(std::move(*answer));
  if (is_missing(answer.error())) return std::optional<Json>();
  return fail_about(endpoint, answer.error(), "allow sagemaker:DescribeEndpoint to the role that runs this");
}

Result<std::map<std::string, std::string>> SagemakerEndpoint::tags(const std::string& arn) {
  std::map<std::string, std::string> found;
  auto listed = client_.call_all("sagemaker", "ListTags", {{"ResourceArn", arn}}, "Tags");
  // Described a moment ago, so it is there: not all of the service knows of it yet.
  if (!listed && listed.error().code == ErrorCode::not_found)
    return fail(ErrorCode::unavailable, "the endpoint's tags can not be read yet: " + listed.error().message, arn, "try again in a moment");
  for (const auto& tag : TRY(std::move(listed))) found[text(tag, "Key")] = text(tag, "Value");
  return found;
}

Result<std::optional<Json>> SagemakerEndpoint::describe_own(const std::string& endpoint) {
  auto found = TRY(describe(endpoint));
  if (!found) return found;
  const auto owner = TRY(tags(text(*found, "EndpointArn")))[kWorkspaceTag];
  if (owner == options_.workspace) return found;
  return fail(ErrorCode::already_exists, owner.empty() ? "an endpoint of this name is there that Redoubt did not make" : "the endpoint is workspace " + owner + "'s", text(*found, "EndpointArn"),
              "choose another name_prefix for this workspace's endpoints");
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

// The endpoint once it changes no more.
Result<Json> SagemakerEndpoint::settle(const std::string& endpoint) {
  WaitOptions wait{options_.poll_ms, options_.poll_ms, change_s_max(options_)};
  auto done = client_.wait_until("sagemaker", "DescribeEndpoint", {{"EndpointName", endpoint}}, [](const Json& now) -> Result<bool> { return !is_changing(now); }, wait);
  if (done || done.error().code != ErrorCode::limit_exceeded) return done;
  return fail(ErrorCode::unavailable, fmt::format("the endpoint was not healthy within {} s", wait.total_s_max), endpoint, logs_of(endpoint) + "; healthy_s_max gives it longer");
}

Result<Json> SagemakerEndpoint::change(const Plan& plan, const EndpointSpec& spec, const std::optional<Json>& before) {
  Json request = {{"EndpointName", plan.endpoint}, {"EndpointConfigName", plan.config}};
  const char* operation = before ? "UpdateEndpoint" : "CreateEndpoint";
  if (before) {
    request["DeploymentConfig"] = deployment_config(plan.endpoint, options_, spec.rollback);
    if (options_.instances_max > options_.instances) {  // as many instances as scaling has made by now
      request["RetainAllVariantProperties"] = true;
      request["ExcludeRetainedVariantProperties"] = Json::array({{{"VariantPropertyType", "DataCaptureConfig"}}});
    }
  } else {
    request["Tags"] = tags_of(spec);
  }
  if (auto begun = client_.call("sagemaker", operation, request); !begun) {
    // The answer may have got lost on its way: then the change is under way.
    const auto now = describe(plan.endpoint);
    const bool is_begun = begun.error().code == ErrorCode::unavailable && now && *now && (!before || is_changing(**now) || text(**now, "EndpointConfigName") == plan.config);
    if (!is_begun) return fail(explain_endpoint_refusal(begun.error(), plan.endpoint, options_));
  }
  // A reader may see for a moment what was there before.
  const Json modified = before ? last_modified(*before) : Json();
  for (int look = 0; before && look < kStaleLooksMax; ++look) {
    const auto now = TRY(describe(plan.endpoint));
    if (!now || is_changing(*now) || text(*now, "EndpointConfigName") == plan.config || last_modified(*now) != modified) break;
    pause_ms(options_.poll_ms);
  }
  Json after = TRY(settle(plan.endpoint));
  const std::string status = text(after, "EndpointStatus"), reason = text(after, "FailureReason");
  if (status == "InService" && text(after, "EndpointConfigName") == plan.config) return after;
  if (status == "InService") {
    return fail(ErrorCode::gate_refused, "SageMaker went back to the version before: " + (reason.empty() ? "an alarm rose, or the new instances were not healthy" : reason), plan.endpoint,
                logs_of(plan.endpoint) + ", and the states of the alarms that rollback_alarms names");
  }
  return fail(ErrorCode::unavailable, fmt::format("the endpoint is {}: {}", status, reason.empty() ? "SageMaker names no reason" : reason), plan.endpoint, cure_of_failure(reason, logs_of(plan.endpoint), options_));
}

Result<EndpointStatus> SagemakerEndpoint::deploy(const EndpointSpec& spec) {
  const Plan plan = plan_of(spec);
  auto before = TRY(describe_own(plan.endpoint));
  if (before && is_changing(*before)) before = TRY(settle(plan.endpoint));
  const std::string status = before ? text(*before, "EndpointStatus") : "";
  if (status == "UpdateRollbackFailed") {
    return fail(ErrorCode::unavailable, "the endpoint could neither be changed nor changed back: " + text(*before, "FailureReason"), plan.endpoint, "take it down with 'redoubt endpoint stop', then deploy again");
  }
  if (status == "Failed" || status == "OutOfService") {  // it never served
    TRY(stop(spec.environment));
    before.reset();
  }
  const std::string config_before = before ? text(*before, "EndpointConfigName") : "";
  const auto make = [&]() -> Result<Json> {
    TRY(send_files(spec));
    TRY(ensure("Model", plan.model, plan.model_request));
    TRY(ensure("EndpointConfig", plan.config, plan.config_request));
    TRY(watch(plan.endpoint, spec));
    return config_before == plan.config ? Result<Json>(*before) : change(plan, spec, before);
  };
  auto after = make();
  if (!after) {
    // What is left of a change that is still under way is found again by the next deployment.
    const auto now = describe(plan.endpoint);
    if (now && (!*now || !is_changing(**now))) {
      const auto cleaned = before ? prune(plan.endpoint, {config_before}) : stop(spec.environment);
      if (!cleaned) spdlog::warn("what the failed deployment made is not all removed: {} ({})", cleaned.error().message, cleaned.error().where);
    }
    return fail(after.error());
  }
  TRY(scale(plan.endpoint));
  TRY(point_record(plan.endpoint, RecordMode::set));
  const std::string arn = text(*after, "EndpointArn");
  TRY(client_.call("sagemaker", "AddTags", {{"ResourceArn", arn}, {"Tags", tags_of(spec)}}));
  TRY(monitor(plan.endpoint, spec, *after));
  if (config_before != plan.config) {
    auto kept = std::vector<std::string>{plan.config};
    if (!config_before.empty()) kept.push_back(config_before);
    TRY(prune(plan.endpoint, kept));
  }
  return status_of(*after, TRY(tags(arn)));
}

Result<std::string> SagemakerEndpoint::monitored_by(const Json& endpoint) { return TRY(tags(text(endpoint, "EndpointArn")))[kMonitoringTag]; }

// The tag tells what has to go one day: a mode stands in it before anything is made for it and until all of it is gone.
Status SagemakerEndpoint::monitor(const std::string& endpoint, const EndpointSpec& spec, const Json& described) {
  SagemakerMonitoring monitoring(options_, client_, models_);
  const std::string before = TRY(monitored_by(described)), mode = monitoring.mode();
  const auto tag = [&](const std::string& value) -> Status {
    TRY(client_.call("sagemaker", "AddTags", {{"ResourceArn", text(described, "EndpointArn")}, {"Tags", Json::array({{{"Key", kMonitoringTag}, {"Value", value}}})}}));
    return {};
  };
  const bool is_new = before.find(mode) == std::string::npos && !(before.empty() && mode == "off");
  if (is_new) TRY(tag(before.empty() ? mode : before + "+" + mode));
  TRY(monitoring.set(endpoint, spec, before));
  return before.empty() || before == mode ? Status() : tag(mode);
}

Result<EndpointStatus> SagemakerEndpoint::status(const std::string& environment) {
  const auto found = TRY(describe(endpoint_of(environment)));
  if (found) {
    const auto tagged = TRY(tags(text(*found, "EndpointArn")));
    const auto owner = tagged.find(kWorkspaceTag);
    if (owner != tagged.end() && owner->second == options_.workspace) return status_of(*found, tagged);
  }
  EndpointStatus none;
  none.state = "stopped";
  return none;
}

EndpointStatus SagemakerEndpoint::status_of(const Json& endpoint, const std::map<std::string, std::string>& tagged) const {
  const auto tag = [&](const char* key) {
    const auto found = tagged.find(key);
    return found == tagged.end() ? std::string() : found->second;
  };
  EndpointStatus status;
  status.state = state_of(text(endpoint, "EndpointStatus"));
  status.running = status.state == "serving" || status.state == "updating";
  status.url = fmt::format("https://runtime.sagemaker.{}.{}/endpoints/{}/invocations", client_.region(), client_.partition() == "aws-cn" ? "amazonaws.com.cn" : "amazonaws.com", text(endpoint, "EndpointName"));
  status.name = tag("redoubt:model");
  status.version = tag("redoubt:version");
  status.deployment = tag("redoubt:deployment");
  status.error = text(endpoint, "FailureReason");
  const auto created = endpoint.find("CreationTime");
  if (created != endpoint.end() && created->is_number()) status.started = to_rfc3339(TimePoint(std::chrono::milliseconds(static_cast<std::int64_t>(created->get<double>() * 1000))));
  return status;
}

Status SagemakerEndpoint::withdraw(const std::string& environment, const std::string& model, const std::string& version) {
  const auto now = TRY(status(environment));
  return now.name == model && now.version == version ? stop(environment) : Status();
}

Status SagemakerEndpoint::stop(const std::string& environment) {
  const std::string endpoint = endpoint_of(environment);
  auto there = TRY(describe_own(endpoint));
  if (there && is_changing(*there) && text(*there, "EndpointStatus") != "Deleting") (void)TRY(settle(endpoint));
  const std::string monitored = there ? TRY(monitored_by(*there)) : std::string();
  TRY(SagemakerMonitoring(options_, client_, models_).remove(endpoint, environment, monitored));
  if (there) {
    TRY(unscale(client_, endpoint));
    TRY(point_record(endpoint, RecordMode::remove));
    if (text(*there, "EndpointStatus") != "Deleting") {
      const auto deleted = client_.call("sagemaker", "DeleteEndpoint", {{"EndpointName", endpoint}});
      if (!deleted && !is_missing(deleted.error())) return fail(explain_endpoint_refusal(deleted.error(), endpoint, options_));
    }
    const auto gone = client_.wait_until("sagemaker", "DescribeEndpoint", {{"EndpointName", endpoint}}, [](const Json&) -> Result<bool> { return false; }, {options_.poll_ms, options_.poll_ms, kDeleteSecondsMax});
    if (!gone && !is_missing(gone.error())) return fail_about(endpoint, gone.error(), "look at it in the console, then stop it again");
  }
  const auto unwatched = client_.call("cloudwatch", "DeleteAlarms", {{"AlarmNames", endpoint_alarm_names(endpoint)}});
  if (!unwatched && !is_missing(unwatched.error())) return fail_about(endpoint, unwatched.error(), "allow cloudwatch:DeleteAlarms");
  return prune(endpoint, {});
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
  const auto tag = [](const char* key, const std::string& value) { return Json{{"Key", key}, {"Value", value}}; };
  return Json::array({tag(kWorkspaceTag, options_.workspace), tag("redoubt:model", spec.model), tag("redoubt:version", spec.version), tag("redoubt:deployment", spec.deployment)});
}

SagemakerEndpoint::Plan SagemakerEndpoint::plan_of(const EndpointSpec& spec) const {
  Plan plan;
  plan.endpoint = endpoint_of(spec.environment);
  const Json tag = Json::array({{{"Key", kWorkspaceTag}, {"Value", options_.workspace}}});
  plan.model_request = model_request(spec, options_);
  plan.model = plan.endpoint + "-m" + crypto::sha256(dump_json(plan.model_request)).hex().substr(0, 16);
  plan.model_request.update({{"ModelName", plan.model}, {"Tags", tag}});
  plan.config_request = config_request(plan.model, spec, options_);
  plan.config = plan.endpoint + "-c" + crypto::sha256(dump_json(plan.config_request)).hex().substr(0, 16);
  plan.config_request.update({{"EndpointConfigName", plan.config}, {"Tags", tag}});
  return plan;
}

// Removes the configurations, models and files of the endpoint but those that the kept configurations stand on.
Status SagemakerEndpoint::prune(const std::string& endpoint, const std::vector<std::string>& kept_configs) {
  std::set<std::string> models, sources;
  for (const auto& config : kept_configs) {
    const auto about = client_.call("sagemaker", "DescribeEndpointConfig", {{"EndpointConfigName", config}});
    if (!about && is_missing(about.error())) continue;
    if (!about) return fail_about(config, about.error());
    for (const auto& variant : json_or(*about, "ProductionVariants", Json::array())) models.insert(text(variant, "ModelName"));
  }
  for (const auto& model : models) {
    const auto about = client_.call("sagemaker", "DescribeModel", {{"ModelName", model}});
    if (!about && is_missing(about.error())) continue;
    if (!about) return fail_about(model, about.error());
    sources.insert(source_of(*about));
  }
  const auto remove_all = [&](const char* what, const char* marker, const char* items, const auto& is_kept) -> Status {
    const std::string member = std::string(what) + "Name";
    for (const auto& one : TRY(client_.call_all("sagemaker", std::string("List") + what + "s", {{"NameContains", endpoint + marker}}, items))) {
      const std::string name = text(one, member.c_str());
      if (!is_of_endpoint(name, endpoint + marker) || is_kept(name)) continue;
      const auto removed = client_.call("sagemaker", std::string("Delete") + what, {{member, name}});
      if (!removed && !is_missing(removed.error())) return fail_about(name, removed.error(), "remove it in the console, or allow sagemaker:Delete" + std::string(what));
    }
    return {};
  };
  TRY(remove_all("EndpointConfig", "-c", "EndpointConfigs", [&](const std::string& name) { return std::find(kept_configs.begin(), kept_configs.end(), name) != kept_configs.end(); }));
  TRY(remove_all("Model", "-m", "Models", [&](const std::string& name) { return models.contains(name); }));
  const std::string prefix = endpoint.substr(options_.name_prefix.size() + 1) + "/";
  for (const auto& key : TRY(models_.list(prefix))) {
    const std::string uri = options_.models_uri + key;
    if (std::any_of(sources.begin(), sources.end(), [&](const std::string& source) { return !source.empty() && uri.starts_with(source); })) continue;
    if (auto removed = models_.remove(key); !removed && removed.error().code != ErrorCode::not_found) return removed;
  }
  return {};
}

}  // namespace redoubt::provider::aws
