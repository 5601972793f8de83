// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/job_watch.h"

#include <fmt/format.h>

#include <thread>

#include "base/log.h"
#include "provider/aws/about.h"
#include "provider/aws/interrupts.h"
#include "provider/aws/job_ending.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::chrono::milliseconds kSlice{100};  // how soon Ctrl-C is seen

}  // namespace

// Remembers what the handler refused, so that its error and the service's are not taken for each other.
class JobWatch::Guard final : public JobHandler {
 public:
  explicit Guard(JobHandler& handler) : handler_(handler) {}
  Status on_event(const Json& event) override { return kept(handler_.on_event(event)); }
  Status on_log(std::string_view line) override { return kept(handler_.on_log(line)); }
  Status on_state(std::string_view state) override { return kept(handler_.on_state(state)); }
  Status on_checkpoint(const std::string& name, const std::vector<JobFile>& files) override { return kept(handler_.on_checkpoint(name, files)); }
  Status on_model(const std::vector<JobFile>&) override { return {}; }
  Status on_output(const std::vector<JobFile>&) override { return {}; }
  std::optional<Error> refused;

 private:
  Status kept(Status status) {
    if (!status && !refused) refused = status.error();
    return status;
  }
  JobHandler& handler_;
};

JobWatch::JobWatch(Client& client, JobStaging& staging, const SagemakerJobOptions& options, std::string job, JobHandler& handler)
    : client_(client), staging_(staging), options_(options), job_(std::move(job)), logs_(client, job_, options.event_bytes_max),
      guard_(std::make_unique<Guard>(handler)) {}
JobWatch::~JobWatch() = default;

const std::optional<Error>& JobWatch::refused() const { return guard_->refused; }

// The job's description where it has ended.
Result<std::optional<Json>> JobWatch::look() {
  const Json description = TRY(about("training job " + job_, client_.call("sagemaker", "DescribeTrainingJob", {{"TrainingJobName", job_}})));
  const std::string status = json_or(description, "TrainingJobStatus", ""), detail = json_or(description, "SecondaryStatus", "");
  if (const std::string& now = detail.empty() ? status : detail; now != shown_) {
    shown_ = now;
    if (!guard_->refused) (void)guard_->on_state(fmt::format("training job {}: {}", job_, now));
  }
  if (is_over(status)) return std::optional<Json>(description);
  return std::optional<Json>();
}

Status JobWatch::listen(bool at_the_end) {
  if (guard_->refused) return {};  // who refused once hears no more
  TRY(logs_.read_new(*guard_));
  return staging_.hand_over_checkpoints(*guard_, at_the_end ? std::chrono::milliseconds(0) : options_.checkpoint_settle, std::chrono::steady_clock::now());
}

// The log arrives behind the job's state; a job that ended has said its last word when nothing new came for a while.
Status JobWatch::settle() {
  const auto start = std::chrono::steady_clock::now();
  auto quiet_since = start;
  while (!guard_->refused && std::chrono::steady_clock::now() - quiet_since < options_.log_settle && std::chrono::steady_clock::now() - start < 10 * options_.log_settle) {
    std::this_thread::sleep_for(std::min(options_.poll, options_.log_settle));
    if (TRY(logs_.read_new(*guard_)) > 0) quiet_since = std::chrono::steady_clock::now();
  }
  return listen(true);
}

Status JobWatch::stop() {
  if (stopped_at_) return {};
  spdlog::warn("stopping training job {}", job_);
  const auto stopped = client_.call("sagemaker", "StopTrainingJob", {{"TrainingJobName", job_}});
  // One that ended meanwhile needs no stop.
  if (!stopped && stopped.error().code != ErrorCode::invalid_argument && !is_missing(stopped.error())) return fail(stopped.error());
  stopped_at_ = std::chrono::steady_clock::now();
  return {};
}

// The job goes on without us: a service that is away for a while is waited for.
Status JobWatch::tolerate(Status status) {
  const auto now = std::chrono::steady_clock::now();
  if (status) return away_since_.reset(), Status{};
  if (guard_->refused) return {};
  if (status.error().code != ErrorCode::unavailable) return status;
  if (!away_since_) {
    spdlog::warn("training job {} is not seen for now, and goes on: {}", job_, status.error().message);
    away_since_ = now;
  }
  if (now - *away_since_ < options_.outage_max) return {};
  return status;
}

void JobWatch::pause() {
  const auto end = std::chrono::steady_clock::now() + options_.poll;
  for (auto now = std::chrono::steady_clock::now(); now < end; now = std::chrono::steady_clock::now()) {
    std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(kSlice, end - now));
    if (!interrupted_ && !stopped_at_ && options_.is_interrupted()) return;
  }
}

Result<Json> JobWatch::to_the_end() {
  for (;;) {
    if (!interrupted_ && options_.is_interrupted()) interrupted_ = true;
    if (interrupted_ || guard_->refused) TRY(tolerate(stop()));
    auto description = look();
    if (description && *description) {
      const Status heard = interrupted_ ? listen(true) : settle();
      TRY(tolerate(heard));
      if (heard || guard_->refused) return **description;
    }
    Status seen = description ? listen(false) : Status(fail(description.error()));
    TRY(tolerate(std::move(seen)));
    if (stopped_at_ && std::chrono::steady_clock::now() - *stopped_at_ > options_.stop_max) {
      return fail(ErrorCode::unavailable, "the training job was told to stop and has not", job_, "look at it in SageMaker's console: it costs while it runs");
    }
    pause();
  }
}

}  // namespace redoubt::provider::aws
