// SPDX-License-Identifier: Apache-2.0
//
// What a job in SageMaker says while it runs, read from CloudWatch Logs: the container's stdout and stderr are one there, so a
// line that is a JSON object is an event and any other a line of the log.
#pragma once

#include <map>
#include <string>

#include "provider/aws/api/client.h"
#include "provider/job_runner.h"

namespace redoubt::provider::aws {

class JobLogs {
 public:
  JobLogs(Client& client, std::string job, std::size_t event_bytes_max) : client_(client), job_(std::move(job)), event_bytes_max_(event_bytes_max) {}

  // Hands over the lines that are new since the last time, and answers how many. A job that said nothing yet has none. The
  // first error is the service's or the handler's; what was handed over is not handed over again.
  Result<std::size_t> read_new(JobHandler& handler);

 private:
  Result<std::size_t> read_stream(const std::string& stream, JobHandler& handler);
  Status hand_over(std::string_view line, JobHandler& handler);

  Client& client_;
  std::string job_;
  std::size_t event_bytes_max_;
  std::map<std::string, std::string> places_;  // stream -> where to go on; a job that was interrupted has several
};

}  // namespace redoubt::provider::aws
