// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/monitoring_requests.h"

#include <fmt/format.h>

#include "crypto/hash.h"
#include "provider/aws/endpoint_requests.h"
#include "provider/aws/training_job.h"

namespace redoubt::provider::aws {
namespace {

constexpr const char* kProgram = "/usr/bin/redoubt-engine";
constexpr const char* kInput = "/opt/ml/processing/input/";
constexpr const char* kOutput = "/opt/ml/processing/output";
constexpr int kMinutesOfADay = 1440;
// AWS names no length of a run's id: its example has sixteen characters, and a UUID has room.
constexpr std::size_t kJobNameCharactersMax = 63, kRunIdCharactersMax = 36;

const std::string& role_of(const SagemakerEndpointOptions& options) { return options.monitoring.role_arn.empty() ? options.role_arn : options.monitoring.role_arn; }

Json network_of(const SagemakerEndpointOptions& options) {
  Json network = {{"EnableNetworkIsolation", true}, {"EnableInterContainerTrafficEncryption", true}};
  if (!options.subnets.empty()) network["VpcConfig"] = {{"Subnets", options.subnets}, {"SecurityGroupIds", options.security_groups}};
  return network;
}

Json cluster_of(const SagemakerEndpointOptions& options) {
  Json cluster = {{"InstanceCount", 1}, {"InstanceType", options.monitoring.instance_type}, {"VolumeSizeInGB", options.monitoring.volume_gib}};
  if (!options.kms_key.empty() && !has_own_disks(options.monitoring.instance_type)) cluster["VolumeKmsKeyId"] = options.kms_key;
  return {{"ClusterConfig", std::move(cluster)}};
}

// Who a run's lines are about.
Json variables_of(const std::string& endpoint, const EndpointSpec& spec, const SagemakerEndpointOptions& options) {
  return {{"REDOUBT_ENVIRONMENT", spec.environment}, {"REDOUBT_WORKSPACE", options.workspace}, {"sagemaker_endpoint_name", endpoint}};
}

Json input_of(const char* name, const std::string& uri) {
  return {{"InputName", name},
          {"S3Input", {{"S3Uri", uri}, {"LocalPath", kInput + std::string(name)}, {"S3DataType", "S3Prefix"}, {"S3InputMode", "File"}, {"S3DataDistributionType", "FullyReplicated"}, {"S3CompressionType", "None"}}}};
}

const AnalysisOptions* analysis_of(const MonitoringKind& kind, const MonitoringOptions& options) {
  const std::string_view type = kind.type;
  if (type == "ModelQuality") return &options.model_quality;
  if (type == "ModelBias") return &options.bias;
  return type == "ModelExplainability" ? &options.explainability : nullptr;
}

void put_given(Json& into, const char* member, const std::string& value) {
  if (!value.empty()) into[member] = value;
}

Json endpoint_input(const std::string& endpoint, const AnalysisOptions* analysis) {
  Json input = {{"EndpointName", endpoint}, {"LocalPath", "/opt/ml/processing/endpointdata"}, {"S3InputMode", "File"}, {"S3DataDistributionType", "FullyReplicated"}};
  if (analysis == nullptr) return input;
  put_given(input, "FeaturesAttribute", analysis->features_attribute);
  put_given(input, "InferenceAttribute", analysis->inference_attribute);
  put_given(input, "ProbabilityAttribute", analysis->probability_attribute);
  put_given(input, "StartTimeOffset", analysis->start_time_offset);
  put_given(input, "EndTimeOffset", analysis->end_time_offset);
  return input;
}

// How long a run may take beside the next one: half as long where AWS merges ground truth first.
int run_s_max(const MonitoringKind& kind, const MonitoringOptions& options) {
  const bool merges = std::string_view(kind.type) == "ModelQuality" || std::string_view(kind.type) == "ModelBias";
  return std::min(options.run_s_max, options.schedule_minutes * 60 / (merges ? 2 : 1));
}

Status check_analysis(const char* name, const AnalysisOptions& options, bool needs_truth, bool needs_config) {
  if (options.image.empty()) return {};
  const std::string where = std::string("endpoint.sagemaker.monitoring.") + name;
  if (needs_truth && options.ground_truth_uri.empty()) return fail(ErrorCode::invalid_argument, "it compares with ground truth, which is not named", where, "name ground_truth_uri");
  if (needs_config && options.config_uri.empty()) return fail(ErrorCode::invalid_argument, "Clarify needs an analysis configuration", where, "name config_uri, the S3 address of an analysis_config.json");
  return {};
}

}  // namespace

Status check_monitoring_options(const MonitoringOptions& options) {
  const auto refuse = [](const std::string& what, const std::string& where, const std::string& hint) -> Status { return fail(ErrorCode::invalid_argument, what, where, hint); };
  if (options.mode == MonitoringMode::off) return {};
  const int minutes = options.schedule_minutes;
  if (minutes < 1 || minutes > kMinutesOfADay) return refuse("a monitor runs once a day at least, and not twice a minute", "endpoint.sagemaker.monitoring.schedule_minutes", "name 1 to 1440");
  const bool is_analysed = !options.model_quality.image.empty() || !options.bias.image.empty() || !options.explainability.image.empty();
  if (options.mode == MonitoringMode::processing) {
    return is_analysed ? refuse("model quality, bias and explainability are Model Monitor's", "endpoint.sagemaker.monitoring", "say mode: model-monitor, in an account that has it, or leave them out") : Status();
  }
  if (minutes % 60 != 0) return refuse("Model Monitor's schedules count in hours", "endpoint.sagemaker.monitoring.schedule_minutes", "name a multiple of 60, up to 1440");
  TRY(check_analysis("model_quality", options.model_quality, true, false));
  TRY(check_analysis("bias", options.bias, true, true));
  TRY(check_analysis("explainability", options.explainability, false, true));
  const bool has_type = options.model_quality.image.empty() || !options.model_quality.problem_type.empty();
  return has_type ? Status() : refuse("model quality is of a problem type", "endpoint.sagemaker.monitoring.model_quality", "name problem_type: BinaryClassification, MulticlassClassification or Regression");
}

std::string monitoring_prefix(const std::string& environment) { return "monitoring/" + environment + "/"; }
std::string job_key(const std::string& environment) { return monitoring_prefix(environment) + "job.json"; }
std::string modes_key(const std::string& environment) { return monitoring_prefix(environment) + "modes"; }
std::string runs_prefix(const std::string& endpoint) {
  static const std::size_t kEndpointCharactersMax = kJobNameCharactersMax - std::string_view("-drift-").size() - kRunIdCharactersMax;
  if (endpoint.size() <= kEndpointCharactersMax) return endpoint + "-drift-";
  const std::string digits = crypto::sha256(endpoint).hex().substr(0, 8);
  return endpoint.substr(0, kEndpointCharactersMax - digits.size() - 1) + "-" + digits + "-drift-";
}
std::string schedule_name(const std::string& endpoint) { return endpoint + "-drift"; }

Json drift_job_request(const std::string& endpoint, const EndpointSpec& spec, const SagemakerEndpointOptions& options, const std::string& baseline) {
  const std::string results = options.models_uri + monitoring_prefix(spec.environment) + "results/" + kRunId + "/";
  Json output = {{"Outputs", Json::array({{{"OutputName", "results"}, {"S3Output", {{"S3Uri", results}, {"LocalPath", kOutput}, {"S3UploadMode", "EndOfJob"}}}}})}};
  put_given(output, "KmsKeyId", options.kms_key);
  Json variables = variables_of(endpoint, spec, options);
  variables["REDOUBT_WINDOW_MINUTES"] = std::to_string(options.monitoring.schedule_minutes);
  return {{"ProcessingJobName", runs_prefix(endpoint) + kRunId},
          {"ProcessingInputs", Json::array({input_of("captures", captures_of(endpoint, spec, options)), input_of("baseline", options.models_uri + baseline)})},
          {"ProcessingOutputConfig", std::move(output)},
          {"ProcessingResources", cluster_of(options)},
          {"StoppingCondition", {{"MaxRuntimeInSeconds", options.monitoring.run_s_max}}},
          {"AppSpecification", {{"ImageUri", options.image_repository + "@" + spec.image}, {"ContainerEntrypoint", {kProgram}}, {"ContainerArguments", {"monitor"}}}},
          {"Environment", std::move(variables)},
          {"NetworkConfig", network_of(options)},
          {"RoleArn", role_of(options)},
          {"Tags", tags_of_environment(spec.environment, options)}};
}

Json schedule_request(const std::string& endpoint, const Json& job, const SagemakerEndpointOptions& options, const std::string& partition) {
  const int minutes = options.monitoring.schedule_minutes;
  const Json target = {{"Arn", "arn:" + partition + ":scheduler:::aws-sdk:sagemaker:createProcessingJob"},
                       {"RoleArn", options.monitoring.scheduler_role_arn},
                       {"Input", dump_json(job)},
                       {"RetryPolicy", {{"MaximumEventAgeInSeconds", std::max(60, minutes * 60)}, {"MaximumRetryAttempts", 2}}}};
  return {{"Name", schedule_name(endpoint)},
          {"Description", "Redoubt, drift of what the endpoint " + endpoint + " is asked"},
          {"ScheduleExpression", fmt::format("rate({} minute{})", minutes, minutes == 1 ? "" : "s")},
          {"State", "ENABLED"},
          {"FlexibleTimeWindow", {{"Mode", "OFF"}}},
          {"Target", target}};
}

std::vector<Json> metric_filters(const std::string& endpoint, const SagemakerEndpointOptions& options) {
  const auto filter = [&](const char* suffix, const Json& dimensions) -> Json {
    const Json metric = {{"metricNamespace", options.monitoring.metric_namespace}, {"metricName", "DataDrift"}, {"metricValue", "$.value"}, {"unit", "None"}, {"dimensions", dimensions}};
    return {{"logGroupName", kProcessingLogs}, {"filterName", endpoint + suffix}, {"filterPattern", fmt::format(R"({{ $.event = "drift" && $.endpoint = "{}" }})", endpoint)}, {"metricTransformations", Json::array({metric})}};
  };
  return {filter("-drift", {{"Environment", "$.environment"}}), filter("-drift-workspace", {{"Environment", "$.environment"}, {"Workspace", "$.workspace"}})};
}

const std::vector<MonitoringKind>& monitoring_kinds() {
  static const std::vector<MonitoringKind> kinds = {{"DataQuality", "-dq"}, {"ModelQuality", "-mq"}, {"ModelBias", "-mb"}, {"ModelExplainability", "-me"}};
  return kinds;
}

Json definition_request(const MonitoringKind& kind, const std::string& endpoint, const EndpointSpec& spec, const SagemakerEndpointOptions& options, const std::string& baseline) {
  const std::string type = kind.type;
  const AnalysisOptions* analysis = analysis_of(kind, options.monitoring);
  if (analysis != nullptr && analysis->image.empty()) return Json();
  Json application = {{"ImageUri", analysis == nullptr ? options.image_repository + "@" + spec.image : analysis->image}}, base = Json::object();
  Json input = {{"EndpointInput", endpoint_input(endpoint, analysis)}};
  if (analysis == nullptr) {  // our own monitor under Model Monitor's container contract
    application.update({{"ContainerEntrypoint", {kProgram}}, {"ContainerArguments", {"monitor"}}, {"Environment", variables_of(endpoint, spec, options)}});
    base = {{"StatisticsResource", {{"S3Uri", options.models_uri + baseline + "statistics.json"}}}, {"ConstraintsResource", {{"S3Uri", options.models_uri + baseline + "constraints.json"}}}};
  } else {
    put_given(application, "ConfigUri", type == "ModelQuality" ? "" : analysis->config_uri);
    put_given(application, "ProblemType", type == "ModelQuality" ? analysis->problem_type : "");
    if (!analysis->constraints_uri.empty()) base["ConstraintsResource"] = {{"S3Uri", analysis->constraints_uri}};
    if (type != "ModelExplainability") input["GroundTruthS3Input"] = {{"S3Uri", analysis->ground_truth_uri}};
  }
  const std::string results = options.models_uri + monitoring_prefix(spec.environment) + "results" + kind.suffix + "/";
  Json output = {{"MonitoringOutputs", Json::array({{{"S3Output", {{"S3Uri", results}, {"LocalPath", "/opt/ml/processing/resultdata"}, {"S3UploadMode", "EndOfJob"}}}}})}};
  put_given(output, "KmsKeyId", options.kms_key);
  Json request = {{type + "AppSpecification", std::move(application)}, {type + "JobInput", std::move(input)}, {type + "JobOutputConfig", std::move(output)}, {"JobResources", cluster_of(options)},
                  {"NetworkConfig", network_of(options)}, {"RoleArn", role_of(options)}, {"StoppingCondition", {{"MaxRuntimeInSeconds", run_s_max(kind, options.monitoring)}}}};
  if (!base.empty()) request[type + "BaselineConfig"] = std::move(base);
  return request;
}

Json monitoring_schedule_config(const MonitoringKind& kind, const std::string& definition, const SagemakerEndpointOptions& options) {
  const int hours = options.monitoring.schedule_minutes / 60;
  const std::string when = hours == 1 ? "cron(0 * ? * * *)" : hours == 24 ? "cron(0 0 ? * * *)" : fmt::format("cron(0 0/{} ? * * *)", hours);
  return {{"ScheduleConfig", {{"ScheduleExpression", when}}}, {"MonitoringJobDefinitionName", definition}, {"MonitoringType", kind.type}};
}

}  // namespace redoubt::provider::aws
