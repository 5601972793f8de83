// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/stack/live_resources.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>

#include "provider/aws/about.h"
#include "provider/aws/answer.h"

namespace redoubt::provider::aws::stack {
namespace {

const Json kNone = Json::object();

Json part(const Json& object, const char* member) { return json_or(object, member, Json::object()); }
Json list(const Json& object, const char* member) { return json_or(object, member, Json::array()); }

// Null where the service says that there is none.
Result<Json> ask(Client& client, const char* service, const char* operation, const Json& input) {
  auto answer = client.call(service, operation, input);
  if (answer || answer.error().code != ErrorCode::not_found) return answer;
  return Json(nullptr);
}

// The first of a list, null where it is empty.
Result<Json> ask_for_first(Client& client, const char* service, const char* operation, const Json& input, const char* items) {
  const Json answer = TRY(ask(client, service, operation, input));
  const Json found = answer.is_null() ? Json::array() : list(answer, items);
  return found.empty() ? Json(nullptr) : Json(found[0]);
}

LiveResource there(Json properties) { return {true, std::move(properties)}; }

Json document(const Json& policy) {
  if (!policy.is_string()) return policy;
  auto read = parse_json(policy.get_ref<const std::string&>(), "policy", {1 << 20, 32});
  return read ? std::move(*read) : Json(nullptr);
}

Status read_replication(Client& client, const std::string& bucket, Json& properties) {
  const Json rules = list(part(TRY(ask(client, "s3", "GetBucketReplication", {{"Bucket", bucket}})), "ReplicationConfiguration"), "Rules");
  Json live = Json::array();
  for (const auto& rule : rules) {
    const Json destination = part(rule, "Destination");
    live.push_back({{"Id", text(rule, "ID")}, {"Status", text(rule, "Status")},
                    {"SourceSelectionCriteria", {{"SseKmsEncryptedObjects", {{"Status", text(part(part(rule, "SourceSelectionCriteria"), "SseKmsEncryptedObjects"), "Status")}}}}},
                    {"Destination", {{"Bucket", text(destination, "Bucket")}, {"EncryptionConfiguration", {{"ReplicaKmsKeyID", text(part(destination, "EncryptionConfiguration"), "ReplicaKmsKeyID")}}}}}});
  }
  properties["ReplicationConfiguration"] = {{"Rules", live}};
  return {};
}

Result<LiveResource> bucket(Client& client, const std::string& id, const Json& wanted) {
  const Json input = {{"Bucket", id}};
  if (auto found = client.call("s3", "HeadBucket", input); !found) {
    if (found.error().code == ErrorCode::not_found) return LiveResource{};
    return tl::unexpected(found.error());
  }
  Json properties;
  const Json encryption = TRY(ask(client, "s3", "GetBucketEncryption", input));
  const Json rules = list(part(encryption, "ServerSideEncryptionConfiguration"), "Rules");
  const Json by_default = part(rules.empty() ? kNone : Json(rules[0]), "ApplyServerSideEncryptionByDefault");
  properties["BucketEncryption"] = {{"ServerSideEncryptionConfiguration", Json::array({{{"ServerSideEncryptionByDefault", {{"SSEAlgorithm", text(by_default, "SSEAlgorithm")}, {"KMSMasterKeyID", text(by_default, "KMSMasterKeyID")}}}}})}};
  const Json versioning = TRY(ask(client, "s3", "GetBucketVersioning", input));
  properties["VersioningConfiguration"] = {{"Status", json_or(versioning, "Status", "Suspended")}};
  const Json block = part(TRY(ask(client, "s3", "GetPublicAccessBlock", input)), "PublicAccessBlockConfiguration");
  for (const char* one : {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}) {
    const auto value = block.find(one);
    properties["PublicAccessBlockConfiguration"][one] = value != block.end() && (*value == Json(true) || *value == Json("true"));
  }
  if (wanted.contains("ObjectLockConfiguration")) {
    const Json lock = part(TRY(ask(client, "s3", "GetObjectLockConfiguration", input)), "ObjectLockConfiguration");
    const Json retention = part(part(lock, "Rule"), "DefaultRetention");
    properties["ObjectLockConfiguration"] = {{"ObjectLockEnabled", text(lock, "ObjectLockEnabled")}, {"Rule", {{"DefaultRetention", {{"Mode", text(retention, "Mode")}, {"Days", retention.contains("Days") ? retention["Days"] : Json(0)}}}}}};
  }
  if (wanted.contains("ReplicationConfiguration")) TRY(read_replication(client, id, properties));
  auto live = there(std::move(properties));
  const bool has_mfa_delete = text(versioning, "MFADelete") == "Enabled";
  live.notes.push_back(has_mfa_delete ? "MFA delete is on: expired versions stay until the root user removes them"
                                      : "MFA delete is off: only the root user can set it, and S3 refuses it beside lifecycle rules");
  return live;
}

Result<LiveResource> bucket_policy(Client& client, const std::string&, const Json& wanted) {
  const Json answer = TRY(ask(client, "s3", "GetBucketPolicy", {{"Bucket", text(wanted, "Bucket")}}));
  if (answer.is_null()) return LiveResource{};
  return there({{"PolicyDocument", document(json_or(answer, "Policy", Json(nullptr)))}});
}

Result<LiveResource> key(Client& client, const std::string& id, const Json&) {
  const Json input = {{"KeyId", id}};
  const Json policy = TRY(ask(client, "kms", "GetKeyPolicy", {{"KeyId", id}, {"PolicyName", "default"}}));
  if (policy.is_null()) return LiveResource{};
  auto rotation = client.call("kms", "GetKeyRotationStatus", input);
  if (!rotation && is_service_error(rotation.error(), "KMSInvalidStateException")) {
    LiveResource gone = there({{"KeyPolicy", document(json_or(policy, "Policy", Json(nullptr)))}, {"Enabled", false}});
    return gone;
  }
  if (!rotation) return tl::unexpected(rotation.error());
  return there({{"KeyPolicy", document(json_or(policy, "Policy", Json(nullptr)))}, {"EnableKeyRotation", json_or(*rotation, "KeyRotationEnabled", false)}});
}

Result<LiveResource> repository(Client& client, const std::string& id, const Json&) {
  const Json found = TRY(ask_for_first(client, "ecr", "DescribeRepositories", {{"repositoryNames", {id}}}, "repositories"));
  if (found.is_null()) return LiveResource{};
  const Json encryption = part(found, "encryptionConfiguration");
  return there({{"ImageTagMutability", text(found, "imageTagMutability")},
                {"ImageScanningConfiguration", {{"ScanOnPush", json_or(part(found, "imageScanningConfiguration"), "scanOnPush", false)}}},
                {"EncryptionConfiguration", {{"EncryptionType", text(encryption, "encryptionType")}, {"KmsKey", text(encryption, "kmsKey")}}}});
}

Result<LiveResource> log_group(Client& client, const std::string& id, const Json&) {
  for (const auto& one : TRY(client.call_all("logs", "DescribeLogGroups", {{"logGroupNamePrefix", id}}, "logGroups"))) {
    if (text(one, "logGroupName") == id) return there({{"RetentionInDays", json_or(one, "retentionInDays", std::int64_t{0})}, {"KmsKeyId", text(one, "kmsKeyId")}});
  }
  return LiveResource{};
}

Result<LiveResource> role(Client& client, const std::string& id, const Json&) {
  const Json input = {{"RoleName", id}};
  const Json found = TRY(ask(client, "iam", "GetRole", input));
  if (found.is_null()) return LiveResource{};
  const Json about = part(found, "Role");
  Json policies = Json::array(), attached = Json::array();
  for (const auto& name : TRY(client.call_all("iam", "ListRolePolicies", input, "PolicyNames"))) {
    const Json policy = TRY(client.call("iam", "GetRolePolicy", {{"RoleName", id}, {"PolicyName", name}}));
    policies.push_back({{"PolicyName", name}, {"PolicyDocument", document(json_or(policy, "PolicyDocument", Json(nullptr)))}});
  }
  for (const auto& one : TRY(client.call_all("iam", "ListAttachedRolePolicies", input, "AttachedPolicies"))) attached.push_back(text(one, "PolicyArn"));
  Json properties = {{"Policies", policies}, {"ManagedPolicyArns", attached}, {"AssumeRolePolicyDocument", document(json_or(about, "AssumeRolePolicyDocument", Json(nullptr)))}};
  properties["PermissionsBoundary"] = text(part(about, "PermissionsBoundary"), "PermissionsBoundaryArn");
  return there(std::move(properties));
}

Result<LiveResource> managed_policy(Client& client, const std::string& id, const Json&) {
  const Json found = TRY(ask(client, "iam", "GetPolicy", {{"PolicyArn", id}}));
  if (found.is_null()) return LiveResource{};
  const Json version = TRY(client.call("iam", "GetPolicyVersion", {{"PolicyArn", id}, {"VersionId", text(part(found, "Policy"), "DefaultVersionId")}}));
  return there({{"PolicyDocument", document(json_or(part(version, "PolicyVersion"), "Document", Json(nullptr)))}});
}

Result<LiveResource> network(Client& client, const std::string& id, const Json&) {
  const Json found = TRY(ask_for_first(client, "ec2", "DescribeVpcs", {{"VpcIds", {id}}}, "Vpcs"));
  if (found.is_null()) return LiveResource{};
  LiveResource live = there({{"CidrBlock", text(found, "CidrBlock")}});
  const auto filter = [&](const char* name) { return Json{{"Filters", Json::array({{{"Name", name}, {"Values", {id}}}})}}; };
  for (const auto& gateway : TRY(client.call_all("ec2", "DescribeInternetGateways", filter("attachment.vpc-id"), "InternetGateways"))) {
    live.too_open.push_back("the gateway " + text(gateway, "InternetGatewayId") + " leads to the internet");
  }
  Json nat = {{"Filter", Json::array({{{"Name", "vpc-id"}, {"Values", {id}}}})}};
  for (const auto& gateway : TRY(client.call_all("ec2", "DescribeNatGateways", nat, "NatGateways"))) {
    if (text(gateway, "State") != "deleted") live.too_open.push_back("the NAT gateway " + text(gateway, "NatGatewayId") + " leads to the internet");
  }
  return live;
}

void add_open_ranges(const Json& permissions, const char* way, std::vector<std::string>& too_open) {
  for (const auto& permission : permissions) {
    const auto port = json_or(permission, "FromPort", std::int64_t{-1});
    const auto what = port < 0 ? std::string("every port") : fmt::format("port {}", port);
    for (const auto& range : list(permission, "IpRanges")) {
      if (text(range, "CidrIp") == "0.0.0.0/0") too_open.push_back(fmt::format("0.0.0.0/0 {} on {}", way, what));
    }
    for (const auto& range : list(permission, "Ipv6Ranges")) {
      if (text(range, "CidrIpv6") == "::/0") too_open.push_back(fmt::format("::/0 {} on {}", way, what));
    }
  }
}

Result<LiveResource> security_group(Client& client, const std::string& id, const Json&) {
  const Json found = TRY(ask_for_first(client, "ec2", "DescribeSecurityGroups", {{"GroupIds", {id}}}, "SecurityGroups"));
  if (found.is_null()) return LiveResource{};
  LiveResource live = there(Json::object());
  add_open_ranges(list(found, "IpPermissions"), "comes in", live.too_open);
  add_open_ranges(list(found, "IpPermissionsEgress"), "goes out", live.too_open);
  return live;
}

Result<LiveResource> flow_log(Client& client, const std::string& id, const Json&) {
  const Json found = TRY(ask_for_first(client, "ec2", "DescribeFlowLogs", {{"FlowLogIds", {id}}}, "FlowLogs"));
  if (found.is_null()) return LiveResource{};
  return there({{"TrafficType", text(found, "TrafficType")}});
}

Result<LiveResource> vpc_endpoint(Client& client, const std::string& id, const Json&) {
  const Json found = TRY(ask_for_first(client, "ec2", "DescribeVpcEndpoints", {{"VpcEndpointIds", {id}}}, "VpcEndpoints"));
  if (found.is_null()) return LiveResource{};
  return there({{"ServiceName", text(found, "ServiceName")}});
}

Result<LiveResource> alarm(Client& client, const std::string& id, const Json& wanted) {
  const Json found = TRY(ask_for_first(client, "cloudwatch", "DescribeAlarms", {{"AlarmNames", {id.empty() ? text(wanted, "AlarmName") : id}}}, "MetricAlarms"));
  if (found.is_null()) return LiveResource{};
  return there({{"ActionsEnabled", json_or(found, "ActionsEnabled", true)}, {"AlarmActions", list(found, "AlarmActions")}, {"Namespace", text(found, "Namespace")}, {"MetricName", text(found, "MetricName")},
                {"Dimensions", list(found, "Dimensions")}, {"Threshold", json_or(found, "Threshold", 0.0)}, {"ComparisonOperator", text(found, "ComparisonOperator")}});
}

Result<LiveResource> topic(Client& client, const std::string& id, const Json&) {
  const Json found = TRY(ask(client, "sns", "GetTopicAttributes", {{"TopicArn", id}}));
  if (found.is_null()) return LiveResource{};
  return there({{"KmsMasterKeyId", text(part(found, "Attributes"), "KmsMasterKeyId")}});
}

Result<LiveResource> secret(Client& client, const std::string& id, const Json& wanted) {
  const Json found = TRY(ask(client, "secretsmanager", "DescribeSecret", {{"SecretId", id.empty() ? text(wanted, "Name") : id}}));
  if (found.is_null() || found.contains("DeletedDate")) return LiveResource{};
  auto live = there({{"KmsKeyId", text(found, "KmsKeyId")}});
  for (const auto& version : TRY(client.call_all("secretsmanager", "ListSecretVersionIds", {{"SecretId", text(found, "Name")}}, "Versions"))) {
    const Json stages = list(version, "VersionStages");
    const auto made = version.find("CreatedDate");
    if (std::find(stages.begin(), stages.end(), "AWSCURRENT") == stages.end() || made == version.end() || !made->is_number()) continue;
    live.value_made = TimePoint(std::chrono::milliseconds(static_cast<std::int64_t>(made->get<double>() * 1000)));
  }
  return live;
}

Result<LiveResource> trail(Client& client, const std::string& id, const Json& wanted) {
  const auto name = id.empty() ? text(wanted, "TrailName") : id;
  const Json found = TRY(ask_for_first(client, "cloudtrail", "DescribeTrails", {{"trailNameList", {name}}}, "trailList"));
  if (found.is_null()) return LiveResource{};
  const Json status = TRY(client.call("cloudtrail", "GetTrailStatus", {{"Name", name}}));
  return there({{"IsLogging", json_or(status, "IsLogging", false)}, {"EnableLogFileValidation", json_or(found, "LogFileValidationEnabled", false)}, {"IsMultiRegionTrail", json_or(found, "IsMultiRegionTrail", false)}, {"KMSKeyId", text(found, "KmsKeyId")}});
}

Result<LiveResource> detector(Client& client, const std::string& id, const Json&) {
  const Json detectors = TRY(client.call_all("guardduty", "ListDetectors", Json::object(), "detectorIds"));
  const auto name = !id.empty() ? id : detectors.empty() ? std::string() : detectors[0].get<std::string>();
  if (name.empty()) return LiveResource{};
  const Json found = TRY(ask(client, "guardduty", "GetDetector", {{"DetectorId", name}}));
  if (found.is_null()) return LiveResource{};
  return there({{"Enable", text(found, "status") == "ENABLED"}});
}

Result<LiveResource> metric_filter(Client& client, const std::string&, const Json& wanted) {
  for (const auto& one : TRY(client.call_all("logs", "DescribeMetricFilters", {{"logGroupName", text(wanted, "LogGroupName")}, {"filterNamePrefix", text(wanted, "FilterName")}}, "metricFilters"))) {
    if (text(one, "filterName") == text(wanted, "FilterName")) return there({{"FilterPattern", text(one, "filterPattern")}});
  }
  return LiveResource{};
}

Result<LiveResource> state_machine(Client& client, const std::string& id, const Json&) {
  const Json found = TRY(ask(client, "stepfunctions", "DescribeStateMachine", {{"stateMachineArn", id}}));
  if (found.is_null()) return LiveResource{};
  return there({{"RoleArn", text(found, "roleArn")}, {"Enabled", text(found, "status") == "ACTIVE"}});
}

Result<LiveResource> recorder(Client& client, const std::string&, const Json&) {
  const Json recorders = list(TRY(client.call("config", "DescribeConfigurationRecorderStatus", Json::object())), "ConfigurationRecordersStatus");
  if (recorders.empty()) return LiveResource{};
  return there({{"Enabled", json_or(recorders[0], "recording", false)}});
}

Result<LiveResource> config_rule(Client& client, const std::string&, const Json& wanted) {
  const Json found = TRY(ask_for_first(client, "config", "DescribeConfigRules", {{"ConfigRuleNames", {text(wanted, "ConfigRuleName")}}}, "ConfigRules"));
  if (found.is_null()) return LiveResource{};
  return there({{"Source", {{"Owner", text(part(found, "Source"), "Owner")}, {"SourceIdentifier", text(part(found, "Source"), "SourceIdentifier")}}}});
}

Result<LiveResource> hub(Client& client, const std::string&, const Json&) {
  auto found = client.call("securityhub", "DescribeHub", Json::object());
  if (!found && (found.error().code == ErrorCode::not_found || is_service_error(found.error(), "InvalidAccessException"))) return LiveResource{};
  if (!found) return tl::unexpected(found.error());
  return there(Json::object());
}

Result<LiveResource> analyzer(Client& client, const std::string&, const Json& wanted) {
  const Json found = TRY(ask(client, "accessanalyzer", "GetAnalyzer", {{"analyzerName", text(wanted, "AnalyzerName")}}));
  if (found.is_null()) return LiveResource{};
  return there({{"Type", text(part(found, "analyzer"), "type")}, {"Enabled", text(part(found, "analyzer"), "status") == "ACTIVE"}});
}

Result<LiveResource> rule(Client& client, const std::string& id, const Json& wanted) {
  const Json found = TRY(ask(client, "events", "DescribeRule", {{"Name", id.empty() ? text(wanted, "Name") : id}}));
  if (found.is_null()) return LiveResource{};
  return there({{"State", text(found, "State")}});
}

using Reader = Result<LiveResource> (*)(Client& client, const std::string& id, const Json& wanted);

const std::map<std::string, Reader>& readers() {
  static const std::map<std::string, Reader> kReaders = {
      {"AWS::S3::Bucket", bucket}, {"AWS::S3::BucketPolicy", bucket_policy}, {"AWS::KMS::Key", key}, {"AWS::ECR::Repository", repository},
      {"AWS::Logs::LogGroup", log_group}, {"AWS::IAM::Role", role}, {"AWS::IAM::ManagedPolicy", managed_policy}, {"AWS::EC2::VPC", network},
      {"AWS::EC2::SecurityGroup", security_group}, {"AWS::EC2::FlowLog", flow_log}, {"AWS::EC2::VPCEndpoint", vpc_endpoint}, {"AWS::CloudWatch::Alarm", alarm},
      {"AWS::SNS::Topic", topic}, {"AWS::SecretsManager::Secret", secret}, {"AWS::CloudTrail::Trail", trail}, {"AWS::GuardDuty::Detector", detector}, {"AWS::Events::Rule", rule},
      {"AWS::Logs::MetricFilter", metric_filter}, {"AWS::StepFunctions::StateMachine", state_machine}, {"AWS::Config::ConfigurationRecorder", recorder}, {"AWS::Config::ConfigRule", config_rule},
      {"AWS::SecurityHub::Hub", hub}, {"AWS::AccessAnalyzer::Analyzer", analyzer}};
  return kReaders;
}

// Readers that find their resource by its name in the template, where the stack does not know it.
bool finds_by_name(const std::string& type) {
  for (const char* one : {"AWS::S3::BucketPolicy", "AWS::CloudWatch::Alarm", "AWS::SecretsManager::Secret", "AWS::CloudTrail::Trail", "AWS::GuardDuty::Detector", "AWS::Events::Rule",
                          "AWS::Logs::MetricFilter", "AWS::Config::ConfigurationRecorder", "AWS::Config::ConfigRule", "AWS::SecurityHub::Hub", "AWS::AccessAnalyzer::Analyzer"}) {
    if (type == one) return true;
  }
  return false;
}

}  // namespace

Result<std::optional<LiveResource>> read_live(Client& client, const std::string& type, const std::string& id, const Json& wanted) {
  const auto reader = readers().find(type);
  if (reader == readers().end()) return std::optional<LiveResource>();
  if (id.empty() && !finds_by_name(type)) return std::optional<LiveResource>(LiveResource{});
  auto live = reader->second(client, id, wanted);
  if (!live) return fail_about(type + " " + id, std::move(live.error()), "allow the role that runs this to read it (the AWS managed policy SecurityAudit does)");
  return std::optional<LiveResource>(std::move(*live));
}

}  // namespace redoubt::provider::aws::stack
