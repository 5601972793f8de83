// SPDX-License-Identifier: Apache-2.0
#include "cli/aws_providers_file.h"

#include <fmt/format.h>

#include <cctype>

#include "cli/duty.h"

namespace redoubt::cli {
namespace {

// Each step acts in its own role. An embedded endpoint's process (`serve`) has none in the template.
std::string roles_of(const std::map<std::string, std::string>& outputs) {
  std::string lines = "    roles:\n";
  for (int duty = 0; duty < static_cast<int>(Duty::serve); ++duty) {
    std::string name(to_string(static_cast<Duty>(duty)));
    std::string output = name + "Role";
    output.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(output.front())));
    if (const auto found = outputs.find(output); found != outputs.end()) lines += fmt::format("      {}: {}\n", name, found->second);
  }
  return lines;
}

}  // namespace

std::string providers_file_of(const std::string& region, const std::string& environment, const std::map<std::string, std::string>& outputs) {
  const auto of = [&](const char* name) {
    const auto found = outputs.find(name);
    return found == outputs.end() ? std::string() : found->second;
  };
  const auto repository = of("ImageRepository");
  const auto slash = repository.find('/');
  return fmt::format(R"(# What 'redoubt aws up {environment}' made, for 'redoubt run PIPELINE --providers FILE'. Every key is described in
# config/schema/providers.schema.json; take out an interface that shall stay embedded.
version: 1
providers:
  aws:
    region: {region}
{roles}  kms:
    aws-kms: {{key: {key}}}
  secrets:
    secrets-manager: {{prefix: {secrets}, kms_key: {key}}}
  objects:
    s3: {{bucket: {bucket}, prefix: objects/, kms_key: {key}}}
  images:
    ecr: {{repository: {repository}, kms_key: {key}}}
  jobs:
    sagemaker:
      role_arn: {job_role}
      image_repository: {repository_uri}
      bucket: {bucket}
      kms_key: {key}
      instance_type: ml.m5.2xlarge
      spot: true
      subnets: [{subnets}]
      security_groups: [{group}]
  registry:
    sagemaker: {{bucket: {bucket}, kms_key: {key}}}
  endpoint:
    sagemaker:
      role_arn: {endpoint_role}
      image_repository: {repository_uri}
      bucket: {bucket}
      kms_key: {key}
      capture_uri: s3://{captures}/
      instance_type: ml.m5.2xlarge
      instances: 2
      instances_max: 4
      subnets: [{subnets}]
      security_groups: [{group}]
      monitoring:
        mode: processing
        role_arn: {monitor_role}
        scheduler_role_arn: {schedule_role}
        schedule_minutes: 60
  alarms:
    cloudwatch: {{namespace: Redoubt, topic_arn: "{topic}"}}
  audit:
    cloudwatch: {{group_prefix: {logs}, retention_days: 90}}
)",
                     fmt::arg("environment", environment), fmt::arg("region", region), fmt::arg("roles", roles_of(outputs)), fmt::arg("key", of("DataKeyAlias")), fmt::arg("secrets", of("SecretPrefix")),
                     fmt::arg("bucket", of("ArtifactsBucket")), fmt::arg("repository", slash == repository.npos ? repository : repository.substr(slash + 1)),
                     fmt::arg("repository_uri", repository), fmt::arg("job_role", of("JobRole")), fmt::arg("endpoint_role", of("EndpointRole")), fmt::arg("captures", of("CapturesBucket")),
                     fmt::arg("monitor_role", of("MonitorJobRole")), fmt::arg("schedule_role", of("ScheduleRole")), fmt::arg("subnets", of("Subnets")),
                     fmt::arg("group", of("JobSecurityGroup")), fmt::arg("topic", of("AlarmTopic")), fmt::arg("logs", of("LogGroupPrefix")));
}

}  // namespace redoubt::cli
