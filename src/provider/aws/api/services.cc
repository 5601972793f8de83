// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/services.h"

#include <algorithm>
#include <array>
#include <span>

namespace redoubt::provider::aws {
namespace {

constexpr Service kServices[] = {
    // name, protocol, host prefix, signing name, target prefix, version, service id
    {"accessanalyzer", Protocol::rest_json, "access-analyzer", "access-analyzer", "", "2019-11-01", "accessanalyzer"},
    {"application-autoscaling", Protocol::json_1_1, "application-autoscaling", "application-autoscaling", "AnyScaleFrontendService", "2016-02-06",
     "application_auto_scaling"},
    {"budgets", Protocol::json_1_1, "budgets", "budgets", "AWSBudgetServiceGateway", "2016-10-20", "budgets"},
    {"ce", Protocol::json_1_1, "ce", "ce", "AWSInsightsIndexService", "2017-10-25", "cost_explorer"},
    {"cloudformation", Protocol::query, "cloudformation", "cloudformation", "", "2010-05-15", "cloudformation"},
    {"cloudtrail", Protocol::json_1_1, "cloudtrail", "cloudtrail", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101", "2013-11-01",
     "cloudtrail"},
    {"cloudwatch", Protocol::json_1_0, "monitoring", "monitoring", "GraniteServiceVersion20100801", "2010-08-01", "cloudwatch"},
    {"config", Protocol::json_1_1, "config", "config", "StarlingDoveService", "2014-11-12", "config_service"},
    {"ec2", Protocol::ec2, "ec2", "ec2", "", "2016-11-15", "ec2"},
    {"ecr", Protocol::json_1_1, "api.ecr", "ecr", "AmazonEC2ContainerRegistry_V20150921", "2015-09-21", "ecr"},
    {"events", Protocol::json_1_1, "events", "events", "AWSEvents", "2015-10-07", "eventbridge"},
    {"guardduty", Protocol::rest_json, "guardduty", "guardduty", "", "2017-11-28", "guardduty"},
    {"iam", Protocol::query, "iam", "iam", "", "2010-05-08", "iam"},
    {"inspector2", Protocol::rest_json, "inspector2", "inspector2", "", "2020-06-08", "inspector2"},
    {"kms", Protocol::json_1_1, "kms", "kms", "TrentService", "2014-11-01", "kms"},
    {"logs", Protocol::json_1_1, "logs", "logs", "Logs_20140328", "2014-03-28", "cloudwatch_logs"},
    {"pricing", Protocol::json_1_1, "api.pricing", "pricing", "AWSPriceListService", "2017-10-15", "pricing"},
    {"route53", Protocol::rest_xml, "route53", "route53", "", "2013-04-01", "route_53"},
    {"s3", Protocol::rest_xml, "s3", "s3", "", "2006-03-01", "s3"},
    {"sagemaker", Protocol::json_1_1, "api.sagemaker", "sagemaker", "SageMaker", "2017-07-24", "sagemaker"},
    {"sagemaker-runtime", Protocol::rest_json, "runtime.sagemaker", "sagemaker", "", "2017-05-13", "sagemaker_runtime"},
    {"scheduler", Protocol::rest_json, "scheduler", "scheduler", "", "2021-06-30", "scheduler"},
    {"secretsmanager", Protocol::json_1_1, "secretsmanager", "secretsmanager", "secretsmanager", "2017-10-17", "secrets_manager"},
    {"securityhub", Protocol::rest_json, "securityhub", "securityhub", "", "2018-10-26", "securityhub"},
    {"service-quotas", Protocol::json_1_1, "servicequotas", "servicequotas", "ServiceQuotasV20190624", "2019-06-24", "service_quotas"},
    {"sns", Protocol::query, "sns", "sns", "", "2010-03-31", "sns"},
    {"sqs", Protocol::json_1_0, "sqs", "sqs", "AmazonSQS", "2012-11-05", "sqs"},
    {"sso", Protocol::rest_json, "portal.sso", "awsssoportal", "", "2019-06-10", "sso"},
    {"sso-oidc", Protocol::rest_json, "oidc", "sso-oauth", "", "2019-06-10", "sso_oidc"},
    {"stepfunctions", Protocol::json_1_0, "states", "states", "AWSStepFunctions", "2016-11-23", "sfn"},
    {"sts", Protocol::query, "sts", "sts", "", "2011-06-15", "sts"},
};

struct Token {
  std::string_view service, member;
  std::string_view operations;  // with a blank on both sides of each
};

constexpr Token kTokens[] = {
    {"accessanalyzer", "clientToken",
     " ApplyArchiveRule CreateAccessPreview CreateAnalyzer CreateArchiveRule DeleteAnalyzer DeleteArchiveRule StartPolicyGeneration "
     "UpdateArchiveRule UpdateFindings "},
    {"cloudformation", "ClientRequestToken",
     " CancelUpdateStack ContinueUpdateRollback CreateStack DeleteStack ExecuteChangeSet RollbackStack UpdateStack "},
    {"cloudformation", "ClientToken", " CreateChangeSet "},
    {"config", "ClientToken", " StartResourceEvaluation "},
    {"ec2", "ClientToken", " CreateFlowLogs CreateRouteTable CreateVpcEndpoint "},
    {"guardduty", "ClientToken", " CreateDetector CreateFilter CreateIPSet CreatePublishingDestination CreateThreatIntelSet StartMalwareScan "},
    {"inspector2", "clientToken", " Enable EnableDelegatedAdminAccount "},
    {"sagemaker", "ClientToken", " CreateImageVersion CreateModelPackage UpdateModelPackage "},
    {"sagemaker", "ClientRequestToken",
     " CreatePipeline DeletePipeline RetryPipelineExecution SendPipelineExecutionStepFailure SendPipelineExecutionStepSuccess "
     "StartPipelineExecution StopPipelineExecution "},
    {"scheduler", "ClientToken", " CreateSchedule CreateScheduleGroup DeleteSchedule DeleteScheduleGroup UpdateSchedule "},
    {"secretsmanager", "ClientRequestToken", " CreateSecret PutSecretValue RotateSecret UpdateSecret "},
};

// Verbs of operations that read, or that say what shall be rather than what to add.
constexpr std::string_view kRepeatableVerbs[] = {
    "Associate", "Assume",  "Attach", "Batch",   "Cancel", "Check",   "Decrypt", "Delete",   "Deregister", "Describe", "Detach", "Detect", "Disable",
    "Disassociate", "Enable", "Encrypt", "Estimate", "Filter", "Generate", "Get", "Head", "List", "Lookup", "Modify", "Put", "Query", "ReEncrypt",
    "Register", "Remove",   "Schedule", "Search", "Set", "Sign", "Simulate", "Stop", "Subscribe", "Tag", "Test", "Unsubscribe", "Untag",
    "Update", "Validate", "Verify",
};

// Operations that begin with such a verb and add something each time.
constexpr std::string_view kNotRepeatable[] = {"events.PutEvents", "logs.PutLogEvents", "cloudwatch.PutMetricData", "kms.UpdatePrimaryRegion",
                                               "sns.PublishBatch"};

}  // namespace

Result<const Service*> find_service(std::string_view name) {
  const auto found = std::find_if(std::begin(kServices), std::end(kServices), [&](const Service& service) { return service.name == name; });
  if (found == std::end(kServices)) return fail(ErrorCode::invalid_argument, "no such service in the table: " + std::string(name), "services.cc");
  return &*found;
}

std::string_view idempotency_token_of(const Service& service, std::string_view operation) {
  const auto padded = " " + std::string(operation) + " ";
  for (const auto& token : kTokens) {
    if (token.service == service.name && token.operations.find(padded) != std::string_view::npos) return token.member;
  }
  return {};
}

bool is_repeatable(const Service& service, std::string_view operation) {
  const auto full = std::string(service.name) + "." + std::string(operation);
  if (std::find(std::begin(kNotRepeatable), std::end(kNotRepeatable), full) != std::end(kNotRepeatable)) return false;
  return std::any_of(std::begin(kRepeatableVerbs), std::end(kRepeatableVerbs), [&](std::string_view verb) { return operation.starts_with(verb); });
}

}  // namespace redoubt::provider::aws
