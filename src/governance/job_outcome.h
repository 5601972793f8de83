// SPDX-License-Identifier: Apache-2.0
//
// What every job of the engine has in common for the stages that start one: its events as progress, its end as a Result.
#pragma once

#include <deque>
#include <string>

#include "base/progress.h"
#include "provider/job_runner.h"

namespace redoubt::governance {

// Draws the engine's plan, step, epoch and progress events, and keeps its result event. Files are ignored unless overridden.
class ProgressHandler : public provider::JobHandler {
 public:
  ProgressHandler(Progress& progress, std::string label) : progress_(progress), label_(std::move(label)) {}
  ~ProgressHandler() override { progress_.end(); }

  Status on_event(const Json& event) override;
  Status on_usage(const Json& usage) override { return system_ = usage, Status{}; }
  Status on_log(std::string_view line) override;
  Status on_state(std::string_view state) override;
  Status on_checkpoint(const std::string&, const std::vector<provider::JobFile>&) override { return {}; }
  Status on_model(const std::vector<provider::JobFile>&) override { return {}; }
  Status on_output(const std::vector<provider::JobFile>&) override { return {}; }

  // The engine's result event without its "event" member; an empty object before it came.
  const Json& result() const { return result_; }
  // The last lines of the job's log, oldest first.
  const std::deque<std::string>& last_lines() const { return last_lines_; }
  // What the job used, where its runner measures it (wall_seconds, processor_seconds, resident_bytes_peak); else an empty object.
  const Json& system() const { return system_; }

 private:
  Progress& progress_;
  std::string label_, stretch_, remark_;
  Json result_ = Json::object(), system_ = Json::object();
  std::deque<std::string> last_lines_;
};

// A job's end as a Result: exit 0 is fine, 2 the input's fault (invalid_argument), a signal or a limit limit_exceeded, anything
// else unavailable; the message carries what the job wrote as its failure. The last lines of the log of one that failed are told too.
Status check_job(const provider::JobResult& result, const std::string& what, const ProgressHandler& handler);

}  // namespace redoubt::governance
