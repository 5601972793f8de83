// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/job_ending.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/lower_case.h"
#include "provider/aws/about.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kFailureBytesMax = 1024;
constexpr int kEndedByTerm = 128 + 15;
constexpr std::string_view kContainerFailed = "AlgorithmError: ";
constexpr std::string_view kExitCode = "exit code: ";

std::string quota_hint(const SagemakerJobOptions& options) {
  return fmt::format("ask for more of \"{} for {} usage\" in Service Quotas (Amazon SageMaker), or name another instance_type", options.instance_type,
                     options.spot ? "spot training job" : "training job");
}

// "AlgorithmError: TEXT, exit code: 3"; a long text may have pushed the code out.
JobResult container_failure(std::string_view reason, const std::string& job) {
  JobResult result{1, {}, "training job " + job};
  std::string_view text = reason;
  if (text.starts_with(kContainerFailed)) text.remove_prefix(kContainerFailed.size());
  if (const auto at = text.rfind(kExitCode); at != text.npos) {
    const std::string_view digits = text.substr(at + kExitCode.size());
    int code = 0;
    if (std::from_chars(digits.data(), digits.data() + digits.size(), code).ec == std::errc() && code > 0 && code < 256) result.exit_code = code;
    text = text.substr(0, at);
    while (text.ends_with(' ') || text.ends_with(',')) text.remove_suffix(1);
  }
  result.failure = std::string(text.substr(0, kFailureBytesMax));
  if (result.failure.empty()) result.failure = fmt::format("the job ended with exit code {}", result.exit_code);
  return result;
}

Result<JobResult> failed(const std::string& job, const std::string& reason, const SagemakerJobOptions& options, const std::string& image) {
  if (holds_any(reason, {"exit code", "algorithmerror"})) return container_failure(reason, job);
  if (holds_any(reason, {"capacityerror", "insufficient capacity", "unable to provision"})) {
    return fail(ErrorCode::unavailable, fmt::format("no {} is free for the training job: {}", options.instance_type, reason), job,
                "run the command again later, or name another instance_type or more subnets");
  }
  if (holds_any(reason, {"image", "repository"})) {
    return fail(ErrorCode::not_found, "the training job could not have its image: " + reason, options.image_repository + "@" + image,
                fmt::format("push the image ('redoubt image push'), and let {} read its repository; a job inside a VPC needs the endpoints of ECR and S3", options.role_arn));
  }
  if (holds_any(reason, {"accessdenied", "access denied", "not authorized", "assume", "kms"})) {
    return fail(ErrorCode::permission_denied, "the training job may not do what it has to: " + reason, job,
                fmt::format("let {} read and write {} and use {}", options.role_arn, options.staging_uri, options.kms_key));
  }
  if (holds_any(reason, {"clienterror"})) return fail(ErrorCode::invalid_argument, "the training job could not run: " + reason, job);
  return fail(ErrorCode::unavailable, "the training job failed: " + reason, job, "run the command again: it goes on from the last checkpoint");
}

}  // namespace

Result<JobResult> ending_of(const Json& description, const JobSpec& spec, const SagemakerJobOptions& options) {
  const std::string job = json_or(description, "TrainingJobName", ""), status = json_or(description, "TrainingJobStatus", "");
  const std::string last = json_or(description, "SecondaryStatus", ""), reason = json_or(description, "FailureReason", "");
  if (status == "Completed") return JobResult{};
  if (last == "MaxRuntimeExceeded") return JobResult{kEndedByTerm, fmt::format("the job was ended after {} seconds", spec.time_s_max), "training job " + job};
  if (last == "MaxWaitTimeExceeded" || last == "Interrupted") {
    return fail(ErrorCode::unavailable, fmt::format("the spot capacity of {} was taken away or never came within {} seconds", options.instance_type, 2 * spec.time_s_max), job,
                "run the command again: it goes on from the last checkpoint; 'spot: false' waits for nobody");
  }
  if (status == "Stopped") {
    return fail(ErrorCode::unavailable, "the training job was stopped" + (reason.empty() ? "" : ": " + reason), job, "run the command again: it goes on from the last checkpoint");
  }
  return failed(job, reason.empty() ? "SageMaker names no reason" : reason, options, spec.image);
}

Error explain_refusal(Error error, const std::string& job, const SagemakerJobOptions& options, const std::string& image) {
  const std::string message = error.message;
  error.where = job;
  if (is_service_error(error, "ResourceLimitExceeded") || error.code == ErrorCode::limit_exceeded) {
    error.code = ErrorCode::limit_exceeded;
    error.hint = quota_hint(options);
  } else if (holds_any(message, {"assume role", "assume the role", "iam role", "passrole", "rolearn"})) {
    error.code = ErrorCode::permission_denied;
    error.where = options.role_arn;
    error.hint = "the role must be there, trust sagemaker.amazonaws.com, and you must be allowed iam:PassRole on it; config/cloudformation_template.yaml makes it";
  } else if (error.code == ErrorCode::permission_denied) {
    add_cure(error, "a training job takes sagemaker:CreateTrainingJob, sagemaker:AddTags and iam:PassRole on " + options.role_arn);
  } else if (holds_any(message, {"ecr", "image", "repository"})) {
    error.code = ErrorCode::not_found;
    error.where = options.image_repository + "@" + image;
    error.hint = "push the image ('redoubt image push'), or name the repository that has it";
  } else if (holds_any(message, {"subnet", "security group", "vpc"})) {
    error.hint = "name subnets and security groups of one VPC in this region";
  } else if (holds_any(message, {"kms"})) {
    error.where = options.kms_key;
    error.hint = "the key must be there, enabled, and let you and " + options.role_arn + " use it";
  } else if (holds_any(message, {"s3", "bucket"})) {
    error.where = options.staging_uri;
    error.hint = "the bucket must be in this region and readable by " + options.role_arn;
  }
  return error;
}

bool is_over(const std::string& status) { return status == "Completed" || status == "Failed" || status == "Stopped"; }

bool is_missing(const Error& error) {
  if (error.code == ErrorCode::not_found) return true;
  return (is_service_error(error, "ValidationException") || is_service_error(error, "ValidationError")) && holds_any(error.message, {"not found", "could not find", "does not exist"});
}

bool holds_any(const std::string& text, std::initializer_list<std::string_view> words) {
  const std::string lowered = lower_case(text);
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return lowered.find(word) != lowered.npos; });
}

}  // namespace redoubt::provider::aws
