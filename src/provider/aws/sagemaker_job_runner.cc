// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sagemaker_job_runner.h"

#include <fmt/format.h>

#include "base/log.h"
#include "provider/aws/about.h"
#include "provider/aws/interrupts.h"
#include "provider/aws/job_ending.h"
#include "provider/aws/job_watch.h"
#include "provider/aws/rank_certificates.h"
#include "provider/aws/resource_region.h"

namespace redoubt::provider::aws {
namespace {

constexpr int kJobAttemptsMax = 1000;
constexpr int kMakingTriesMax = 3;  // at making what an earlier try may have made

// The staged plaintext goes with the job, whatever came of it; what it made stays where that could not be read now.
void remove_staged(JobStaging& staging, const std::string& job, bool is_made_kept = false) {
  if (const Status removed = is_made_kept ? staging.remove_but_outputs() : staging.remove(); !removed) {
    spdlog::warn("objects of training job {} could not be removed: {} ({})", job, removed.error().message, removed.error().where);
  }
}

Status hand_back(JobStaging& staging, const JobSpec& spec, const JobResult& result, JobHandler& handler) {
  TRY(handler.on_output(TRY(staging.unpack_output("output.tar.gz", spec.output_bytes_max))));
  if (result.exit_code == 0) TRY(handler.on_model(TRY(staging.unpack_output("model.tar.gz", spec.output_bytes_max))));
  return {};
}

}  // namespace

struct SagemakerJobRunner::Attempt {
  std::string job;
  int number = 0;
  std::string status;
};

Result<std::unique_ptr<SagemakerJobRunner>> SagemakerJobRunner::create(SagemakerJobOptions options, Client& client, ObjectStore& staging) {
  TRY(check_options(options));
  TRY(check_region("repository of images", options.image_repository, client));
  TRY(check_region("key", options.kms_key, client));
  if (options.checkpoint_settle.count() == 0) options.checkpoint_settle = 4 * options.poll;
  if (options.log_settle.count() == 0) options.log_settle = 2 * options.poll;
  if (!options.is_interrupted) options.is_interrupted = Interrupts::came;
  return std::unique_ptr<SagemakerJobRunner>(new SagemakerJobRunner(std::move(options), client, staging));
}

// The newest attempt that SageMaker knows of.
Result<SagemakerJobRunner::Attempt> SagemakerJobRunner::newest(const std::string& family) {
  Attempt found;
  const Json query = {{"NameContains", family + "-"}, {"SortBy", "CreationTime"}, {"SortOrder", "Descending"}, {"MaxResults", 100}};
  for (const Json& summary : TRY(about("training jobs " + family + "-*", client_.call_all("sagemaker", "ListTrainingJobs", query, "TrainingJobSummaries")))) {
    const std::string name = json_or(summary, "TrainingJobName", "");
    const int number = attempt_of(family, name);
    if (number > found.number) found = {name, number, json_or(summary, "TrainingJobStatus", "")};
  }
  return found;
}

Result<SagemakerJobRunner::Attempt> SagemakerJobRunner::find_or_start(const JobSpec& spec) {
  const std::string family = TRY(job_family(spec, options_));
  Attempt last = TRY(newest(family));
  if (last.status == "InProgress" || last.status == "Stopping") {
    spdlog::info("training job {} is under way already: watching it", last.job);
    return last;
  }
  // One that ended while nobody watched still has what it made.
  if (last.status == "Completed" && TRY(JobStaging(staging_, last.job).has_outputs())) return last;
  if (last.number >= kJobAttemptsMax) return fail(ErrorCode::limit_exceeded, "too many attempts at one training job", last.job);
  Attempt next{job_name(family, last.number + 1), last.number + 1, "InProgress"};
  TRY(remove_other_attempts(staging_, family, next.job));
  if (Status started = start(next.job, spec); !started) {
    JobStaging staged(staging_, next.job);
    remove_staged(staged, next.job);
    return fail(started.error());
  }
  return next;
}

// A volume takes a key by its ARN alone; and a key that cannot be used is told before anything is sent.
Status SagemakerJobRunner::resolve_key() {
  const auto key = client_.call("kms", "DescribeKey", {{"KeyId", options_.kms_key}});
  if (!key) return fail_about(options_.kms_key, key.error(), "name a key of this region that you may use; config/cloudformation_template.yaml makes one");
  const Json metadata = json_or(*key, "KeyMetadata", Json::object());
  if (const std::string state = json_or(metadata, "KeyState", "Enabled"); state != "Enabled") {
    return fail(ErrorCode::unavailable, fmt::format("the key of volumes and outputs is {}", state), options_.kms_key, "enable it in KMS, or name another one");
  }
  kms_key_ = json_or(metadata, "Arn", options_.kms_key.c_str());
  return {};
}

Status SagemakerJobRunner::start(const std::string& job, const JobSpec& spec) {
  TRY(resolve_key());
  JobSpec sent = spec;
  if (spec.instances > 1) sent.channels[kCertificatesChannel] = TRY(rank_certificates(SystemClock().now(), spec.time_s_max));
  TRY(JobStaging(staging_, job).send(sent, options_.is_interrupted));
  if (options_.is_interrupted()) return fail(ErrorCode::unavailable, "interrupted before the training job was started", job);
  TRY(ensure_trial());
  return create_job(job, sent);
}

Status SagemakerJobRunner::create_job(const std::string& job, const JobSpec& spec) {
  SagemakerJobOptions resolved = options_;
  resolved.kms_key = kms_key_;
  const Json request = TRY(training_job_request(job, spec, resolved));
  for (int tries = 1;; ++tries) {
    const auto created = client_.call("sagemaker", "CreateTrainingJob", request);
    if (created) return {};
    const bool is_unsure = created.error().code == ErrorCode::unavailable;
    if (!is_unsure && created.error().code != ErrorCode::already_exists) return fail(explain_refusal(created.error(), job, options_, spec.image));
    // The name is ours alone: a job that has it was made by a try whose answer got lost; and as long as there is none, asking again
    // makes no second one.
    const auto there = client_.call("sagemaker", "DescribeTrainingJob", {{"TrainingJobName", job}});
    if (there) return {};
    if (tries == kMakingTriesMax || !is_unsure || !is_missing(there.error())) return fail(explain_refusal(created.error(), job, options_, spec.image));
  }
}

Status SagemakerJobRunner::ensure(const char* operation, const std::string& name, const Json& request) {
  for (int tries = 1;; ++tries) {
    const auto created = client_.call("sagemaker", operation, request);
    // One that is there is what we want; SageMaker says so in words alone.
    if (created || created.error().code == ErrorCode::already_exists || created.error().message.find("already exists") != std::string::npos) return {};
    // Names are unique, so asking again makes no second one.
    if (tries == kMakingTriesMax || created.error().code != ErrorCode::unavailable) return fail_about(name, created.error(), "or name no experiment in the block 'jobs'");
  }
}

Status SagemakerJobRunner::ensure_trial() {
  if (options_.experiment.empty()) return {};
  const Json tags = Json::array({{{"Key", "redoubt:workspace"}, {"Value", options_.workspace}}});
  TRY(ensure("CreateExperiment", "experiment " + options_.experiment, {{"ExperimentName", options_.experiment}, {"Tags", tags}}));
  return ensure("CreateTrial", "trial " + trial_of(options_), {{"TrialName", trial_of(options_)}, {"ExperimentName", options_.experiment}, {"Tags", tags}});
}

Result<JobResult> SagemakerJobRunner::run(const JobSpec& spec, JobHandler& handler) {
  TRY(aws::check_job(spec));
  const Interrupts interrupts;
  const Attempt attempt = TRY(find_or_start(spec));
  JobStaging staging(staging_, attempt.job);
  staging.skip_checkpoints(spec.checkpoints);
  JobWatch watch(client_, staging, options_, attempt.job, handler);
  const auto description = watch.to_the_end();
  if (!description) {
    Error error = description.error();
    error.message = fmt::format("training job {} is not watched any more, and may still run: {}", attempt.job, error.message);
    if (error.hint.empty() || error.code == ErrorCode::unavailable) error.hint = "run the command again: it finds the job and goes on watching";
    return fail(std::move(error));
  }
  bool is_made_kept = false;
  auto ending = [&]() -> Result<JobResult> {
    if (watch.refused()) return fail(*watch.refused());
    if (watch.interrupted()) {
      return fail(ErrorCode::unavailable, "interrupted: the training job was stopped", attempt.job, "run the command again: it goes on from the last checkpoint");
    }
    JobResult result = TRY(ending_of(*description, spec, options_));
    if (auto handed = hand_back(staging, spec, result, handler); !handed) {
      // The next try finds the job that has ended, and its outputs, and trains nothing again.
      is_made_kept = handed.error().code == ErrorCode::unavailable || handed.error().code == ErrorCode::permission_denied;
      if (is_made_kept && handed.error().hint.empty()) handed.error().hint = "run the command again: what the job made is still there";
      return fail(std::move(handed.error()));
    }
    return result;
  }();
  remove_staged(staging, attempt.job, is_made_kept);
  return ending;
}

}  // namespace redoubt::provider::aws
