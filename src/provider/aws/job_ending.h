// SPDX-License-Identifier: Apache-2.0
//
// What SageMaker says of a job's end or refusal, as ours: a container that failed is a result, everything else an error that
// names the resource and the cure.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "provider/aws/api/client.h"
#include "provider/aws/training_job.h"

namespace redoubt::provider::aws {

// Of a job that is Completed, Failed or Stopped, out of DescribeTrainingJob's answer.
Result<JobResult> ending_of(const Json& description, const JobSpec& spec, const SagemakerJobOptions& options);

// A refused CreateTrainingJob.
Error explain_refusal(Error error, const std::string& job, const SagemakerJobOptions& options, const std::string& image);

// Of a job that trains or processes.
bool is_over(const std::string& status);

// SageMaker has two ways to say that a named thing is not there.
bool is_missing(const Error& error);

// Whether a reason or a refusal, in whatever case, has one of these words in lower case.
bool holds_any(const std::string& text, std::initializer_list<std::string_view> words);

}  // namespace redoubt::provider::aws
