// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/endpoint_requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "provider/aws/about.h"
#include "provider/aws/job_ending.h"
#include "provider/aws/monitoring_requests.h"
#include "provider/aws/training_job.h"

namespace redoubt::provider::aws {
namespace {

constexpr const char* kVariant = "main";
constexpr const char* kDimension = "sagemaker:variant:DesiredInstanceCount";
constexpr int kTerminationWaitSeconds = 120, kMarginSeconds = 600;

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

std::string quota_hint(const SagemakerEndpointOptions& options) { return fmt::format("ask Service Quotas for more of '{} for endpoint usage', or name another instance_type", options.instance_type); }

std::string capture_place(const EndpointSpec& spec, const SagemakerEndpointOptions& options) {
  return (options.capture_uri.empty() ? options.models_uri + "captures/" : options.capture_uri) + spec.environment;
}

// Rounded up, but for what only a double's last digit is over: what is asked for is kept, if ever so little.
int whole_percent(double share) { return std::clamp(static_cast<int>(std::ceil(share * 100 - 1e-6)), 1, 100); }

std::string resource_id(const std::string& endpoint) { return "endpoint/" + endpoint + "/variant/" + kVariant; }

}  // namespace

Status check_endpoint_options(const SagemakerEndpointOptions& options) {
  const auto refuse = [](const std::string& what, const std::string& where, const std::string& hint = {}) -> Status { return fail(ErrorCode::invalid_argument, what, where, hint); };
  if (options.name_prefix.empty() || options.name_prefix.size() > 30) return refuse("an endpoint's name_prefix has 1 to 30 characters", options.name_prefix);
  if (options.workspace.empty()) return refuse("an endpoint belongs to a workspace", options.name_prefix);
  if (!options.models_uri.starts_with("s3://") || !options.models_uri.ends_with('/')) return refuse("the place of the models is not one", options.models_uri, "it looks like s3://BUCKET/PREFIX/");
  if (options.role_arn.find(":role/") == std::string::npos) return refuse("not the ARN of a role", options.role_arn);
  if (options.image_repository.find('/') == std::string::npos) return refuse("not an image's repository", options.image_repository, "it looks like ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME");
  if (options.subnets.empty() != options.security_groups.empty()) return refuse("subnets and security_groups are given together, or neither", options.name_prefix);
  if (options.instances < 1 || options.instances_max < options.instances) return refuse("instances_max is less than instances", options.name_prefix);
  if (options.canary_percent < 1 || options.canary_percent > 50) return refuse("a canary is 1 to 50 percent", std::to_string(options.canary_percent));
  if (options.rollback_alarms.size() > 8) return refuse("an endpoint is turned back by eight more alarms at most", options.name_prefix);
  const auto& failover = options.failover;
  if (failover.hosted_zone.empty() != failover.record.empty()) return refuse("a failover names hosted_zone and record", failover.record);
  if (!failover.record.empty() && failover.role == "PRIMARY" && failover.health_check.empty()) return refuse("the primary's record needs a health_check", failover.record, "without one Route 53 never fails over");
  return check_monitoring_options(options.monitoring);
}

Json tags_of_environment(const std::string& environment, const SagemakerEndpointOptions& options) {
  return Json::array({{{"Key", "redoubt"}, {"Value", environment}}, {{"Key", "redoubt:workspace"}, {"Value", options.workspace}}});
}

std::string captures_of(const std::string& endpoint, const EndpointSpec& spec, const SagemakerEndpointOptions& options) { return capture_place(spec, options) + "/" + endpoint + "/"; }

std::string release_prefix(const EndpointSpec& spec) {
  const auto colon = spec.release.find(':');
  return spec.environment + "/" + (colon == std::string::npos ? spec.release : spec.release.substr(colon + 1)) + "/";
}

Json model_request(const EndpointSpec& spec, const SagemakerEndpointOptions& options) {
  const Json source = {{"S3DataSource", {{"S3Uri", options.models_uri + release_prefix(spec)}, {"S3DataType", "S3Prefix"}, {"CompressionType", "None"}}}};
  Json request = {{"PrimaryContainer", {{"Image", options.image_repository + "@" + spec.image}, {"ModelDataSource", source}}},
                  {"ExecutionRoleArn", options.role_arn},
                  {"EnableNetworkIsolation", true}};
  for (const auto& [name, value] : spec.engine.items()) request["PrimaryContainer"]["Environment"]["REDOUBT_" + upper(name)] = value.is_string() ? value.get<std::string>() : value.dump();
  if (!options.subnets.empty()) request["VpcConfig"] = {{"Subnets", options.subnets}, {"SecurityGroupIds", options.security_groups}};
  return request;
}

Json config_request(const std::string& model, const EndpointSpec& spec, const SagemakerEndpointOptions& options) {
  const int healthy = std::clamp(options.healthy_s_max, 60, 3600);
  const Json variant = {{"VariantName", kVariant}, {"ModelName", model}, {"InstanceType", options.instance_type}, {"InitialInstanceCount", options.instances}, {"InitialVariantWeight", 1.0},
                        {"ModelDataDownloadTimeoutInSeconds", healthy}, {"ContainerStartupHealthCheckTimeoutInSeconds", healthy}};
  Json request = {{"ProductionVariants", Json::array({variant})}};
  if (!options.kms_key.empty() && !has_own_disks(options.instance_type)) request["KmsKeyId"] = options.kms_key;
  if (!spec.capture) return request;
  Json capture = {{"EnableCapture", true}, {"InitialSamplingPercentage", whole_percent(spec.capture_share)}, {"DestinationS3Uri", capture_place(spec, options)},
                  {"CaptureOptions", Json::array({{{"CaptureMode", "Input"}}, {{"CaptureMode", "Output"}}})}, {"CaptureContentTypeHeader", {{"JsonContentTypes", {"application/json"}}}}};
  if (!options.kms_key.empty()) capture["KmsKeyId"] = options.kms_key;
  request["DataCaptureConfig"] = std::move(capture);
  return request;
}

Json deployment_config(const std::string& endpoint, const SagemakerEndpointOptions& options, bool rollback) {
  const bool is_canary = options.instances > 1 && !rollback;
  Json routing = {{"Type", is_canary ? "CANARY" : "ALL_AT_ONCE"}, {"WaitIntervalInSeconds", rollback ? 0 : options.canary_wait_s}};
  if (is_canary) routing["CanarySize"] = {{"Type", "CAPACITY_PERCENT"}, {"Value", options.canary_percent}};
  Json config = {{"BlueGreenUpdatePolicy", {{"TrafficRoutingConfiguration", routing}, {"TerminationWaitInSeconds", kTerminationWaitSeconds}, {"MaximumExecutionTimeoutInSeconds", std::clamp(change_s_max(options) - kMarginSeconds / 2, 600, 28'800)}}}};
  // Alarms that rose over the version that is left would hold its successor back.
  if (rollback) return config;
  Json alarms = Json::array();
  for (const auto& name : endpoint_alarm_names(endpoint)) alarms.push_back({{"AlarmName", name}});
  for (const auto& name : options.rollback_alarms) alarms.push_back({{"AlarmName", name}});
  config["AutoRollbackConfiguration"] = {{"Alarms", std::move(alarms)}};
  return config;
}

int change_s_max(const SagemakerEndpointOptions& options) { return options.healthy_s_max + options.canary_wait_s + kTerminationWaitSeconds + kMarginSeconds; }

std::vector<Json> endpoint_alarms(const std::string& endpoint, const EndpointSpec& spec, const SagemakerEndpointOptions& options) {
  const Json actions = options.topic_arn.empty() ? Json::array() : Json::array({options.topic_arn});
  const Json dimensions = Json::array({{{"Name", "EndpointName"}, {"Value", endpoint}}, {{"Name", "VariantName"}, {"Value", kVariant}}});
  const auto alarm = [&](const char* name, const char* description, const char* metric, double limit) -> Json {
    return {{"AlarmName", endpoint + name}, {"AlarmDescription", description}, {"ActionsEnabled", true}, {"AlarmActions", actions}, {"OKActions", actions}, {"Namespace", "AWS/SageMaker"},
            {"MetricName", metric}, {"Dimensions", dimensions}, {"Period", 60}, {"EvaluationPeriods", 1}, {"DatapointsToAlarm", 1}, {"Threshold", limit},
            {"ComparisonOperator", "GreaterThanThreshold"}, {"TreatMissingData", "notBreaching"}};
  };
  Json errors = alarm("-InvocationErrors", "failed invocations in a minute", "Invocation5XXErrors", spec.errors_per_minute_max);
  errors["Statistic"] = "Sum";
  Json latency = alarm("-LatencyP99", "99th percentile of an answer's time, microseconds", "ModelLatency", spec.latency_p99_ms_max * 1000);
  latency["ExtendedStatistic"] = "p99";
  return {std::move(errors), std::move(latency)};
}

Json endpoint_alarm_names(const std::string& endpoint) { return Json::array({endpoint + "-InvocationErrors", endpoint + "-LatencyP99"}); }

bool is_of_endpoint(const std::string& name, const std::string& start) {
  return name.size() == start.size() + 16 && name.starts_with(start) && name.find_first_not_of("0123456789abcdef", start.size()) == std::string::npos;
}

Status set_scaling(Client& client, const std::string& endpoint, const SagemakerEndpointOptions& options) {
  const Json target = {{"ServiceNamespace", "sagemaker"}, {"ResourceId", resource_id(endpoint)}, {"ScalableDimension", kDimension}};
  Json bounds = target;
  bounds.update({{"MinCapacity", options.instances}, {"MaxCapacity", options.instances_max}});
  TRY(client.call("application-autoscaling", "RegisterScalableTarget", bounds));
  const Json tracking = {{"TargetValue", static_cast<double>(options.invocations_per_instance)}, {"PredefinedMetricSpecification", {{"PredefinedMetricType", "SageMakerVariantInvocationsPerInstance"}}},
                         {"ScaleOutCooldown", 60}, {"ScaleInCooldown", 300}};
  Json policy = target;
  policy.update({{"PolicyName", endpoint + "-invocations"}, {"PolicyType", "TargetTrackingScaling"}, {"TargetTrackingScalingPolicyConfiguration", tracking}});
  TRY(client.call("application-autoscaling", "PutScalingPolicy", policy));
  return {};
}

Status unscale(Client& client, const std::string& endpoint) {
  const Json asked = {{"ServiceNamespace", "sagemaker"}, {"ResourceIds", {resource_id(endpoint)}}, {"ScalableDimension", kDimension}};
  if (TRY(about("scaling of " + endpoint, client.call_all("application-autoscaling", "DescribeScalableTargets", asked, "ScalableTargets"))).empty()) return {};
  const auto done = client.call("application-autoscaling", "DeregisterScalableTarget", {{"ServiceNamespace", "sagemaker"}, {"ResourceId", resource_id(endpoint)}, {"ScalableDimension", kDimension}});
  return done || done.error().code == ErrorCode::not_found ? Status() : Status(fail_about("scaling of " + endpoint, done.error()));
}

Json record_change(const FailoverOptions& failover, const std::string& endpoint, const Client& client, const char* action) {
  const std::string host = fmt::format("runtime.sagemaker.{}.{}", client.region(), client.partition() == "aws-cn" ? "amazonaws.com.cn" : "amazonaws.com");
  Json record = {{"Name", failover.record}, {"Type", "CNAME"}, {"SetIdentifier", endpoint + "-" + client.region()}, {"Failover", failover.role}, {"TTL", 60}, {"ResourceRecords", Json::array({{{"Value", host}}})}};
  if (!failover.health_check.empty()) record["HealthCheckId"] = failover.health_check;
  return {{"HostedZoneId", failover.hosted_zone}, {"ChangeBatch", {{"Comment", "the endpoint " + endpoint}, {"Changes", Json::array({{{"Action", action}, {"ResourceRecordSet", std::move(record)}}})}}}};
}

Error explain_endpoint_refusal(Error error, const std::string& name, const SagemakerEndpointOptions& options) {
  const std::string message = error.message;
  error.where = name;
  if (is_service_error(error, "ResourceLimitExceeded") || error.code == ErrorCode::limit_exceeded) {
    error.code = ErrorCode::limit_exceeded;
    error.hint = quota_hint(options);
  } else if (error.code == ErrorCode::unavailable) {
    return error;
  } else if (holds_any(message, {"assume role", "assume the role", "passrole", "rolearn", "iam role"})) {
    error.code = ErrorCode::permission_denied;
    error.where = options.role_arn;
    error.hint = "the role must be there, trust sagemaker.amazonaws.com, and you must be allowed iam:PassRole on it; config/cloudformation_template.yaml makes it";
  } else if (error.code == ErrorCode::permission_denied) {
    add_cure(error, "an endpoint takes sagemaker:Create*, Describe*, Update*, Delete*, List* and AddTags on model, endpoint-config and endpoint " + options.name_prefix + "-*, and iam:PassRole on " + options.role_arn);
  } else if (holds_any(message, {"ecr", "image", "repository"})) {
    error.code = ErrorCode::not_found;
    error.where = options.image_repository;
    error.hint = "push the image ('redoubt image push'), or name the repository that has it";
  } else if (holds_any(message, {"subnet", "security group", "vpc"})) {
    error.hint = "name subnets and security groups of one VPC in this region";
  } else if (holds_any(message, {"kms"})) {
    error.where = options.kms_key;
    error.hint = "the key must be there, enabled, and let you and " + options.role_arn + " use it";
  } else if (holds_any(message, {"s3", "bucket", "model data"})) {
    error.where = options.models_uri;
    error.hint = "the bucket must be in this region and readable by " + options.role_arn;
  } else if (holds_any(message, {"instance type", "instancetype"})) {
    error.hint = "name an instance_type for endpoints that this region has";
  }
  return error;
}

std::string cure_of_failure(const std::string& reason, const std::string& logs, const SagemakerEndpointOptions& options) {
  if (holds_any(reason, {"limit", "quota"})) return quota_hint(options);
  if (holds_any(reason, {"capacity"})) return "the region has no " + options.instance_type + " to spare now: deploy again later, or name another instance_type";
  if (holds_any(reason, {"ping", "health check"})) return logs;
  if (holds_any(reason, {"image", "ecr"})) {
    return "push the image ('redoubt image push'); the role " + options.role_arn + " must be able to pull from " + options.image_repository + " (ecr:BatchGetImage, GetDownloadUrlForLayer, BatchCheckLayerAvailability)";
  }
  if (holds_any(reason, {"model data", "s3", "download"})) return "the role " + options.role_arn + " must be able to read " + options.models_uri;
  return logs;
}

void pause_ms(int milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

}  // namespace redoubt::provider::aws
