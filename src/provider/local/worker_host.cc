// SPDX-License-Identifier: Apache-2.0
#include "provider/local/worker_host.h"

#include <sys/socket.h>

#include <cerrno>

#include "provider/local/image_root.h"
#include "provider/local/job_runner.h"

namespace redoubt::provider::local {
namespace {

constexpr std::uint64_t kScratchBytes = 64 << 20;

class Log final : public sandbox::OutputHandler {
 public:
  explicit Log(const std::function<void(std::string_view)>& sink) : sink_(sink) {}
  Status on_stdout(std::string_view line) override { return sink_(line.substr(0, 4096)), Status{}; }
  Status on_stderr(std::string_view line) override { return sink_(line), Status{}; }

 private:
  const std::function<void(std::string_view)>& sink_;
};

Status write_model(sandbox::WorkFolder& work, const WorkerSpec& spec) {
  TRY(work.write_input("input/config/hyperparameters.json", dump_json(spec.hyperparameters)));
  TRY(work.make_folder("output/data"));
  TRY(write_inputs(work, "model/base", spec.base));
  if (!spec.adapter.empty()) TRY(write_inputs(work, "model/adapter", spec.adapter));
  return {};
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::start(const WorkerSpec& spec, ImageStore& images) {
  ImageRoot image = TRY(open_image(images, spec.image));
  sandbox::Options options;
  options.layers = std::move(image.layers);
  options.require = spec.require;
  options.limits.work_bytes_max = TRY(input_bytes(spec.base)) + TRY(input_bytes(spec.adapter)) + kScratchBytes;
  options.limits.memory_bytes_max = spec.memory_bytes_max;
  std::unique_ptr<Worker> worker(new Worker());
  worker->on_log_ = spec.on_log;
  worker->sandbox_ = TRY(sandbox::Sandbox::create(std::move(options)));
  TRY(write_model(worker->sandbox_->work(), spec));

  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno(errno, "socketpair", "worker");
  worker->socket_ = Fd(ends[0]);
  const Fd theirs(ends[1]);
  sandbox::Command command{std::move(image.entry_point), std::move(image.environment), {{theirs.get(), "REDOUBT_WORKER_FD"}}};
  command.arguments.push_back(spec.entry_point);
  TRY(worker->sandbox_->start(command));
  worker->reader_ = std::thread([self = worker.get()] {
    Log log(self->on_log_);
    sandbox::WaitOptions forever;
    forever.time_max = std::chrono::hours(24 * 365 * 10);
    self->exit_ = self->sandbox_->wait(forever, log);
  });
  return worker;
}

Result<sandbox::Exit> Worker::wait() {
  if (reader_.joinable()) reader_.join();
  return exit_;
}

Worker::~Worker() {
  if (sandbox_) sandbox_->kill();
  if (reader_.joinable()) reader_.join();
}

}  // namespace redoubt::provider::local
