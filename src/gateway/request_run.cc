// SPDX-License-Identifier: Apache-2.0
#include "gateway/request_run.h"

namespace redoubt::gateway {
namespace {

class Shadow final : public GenerateListener {
 public:
  explicit Shadow(std::shared_ptr<ReleaseMeter> meter) : meter_(std::move(meter)) {}
  bool forget() override { return true; }
  void on_started(int) override {}
  void on_token(const Piece&) override {}
  void on_done(const GenerateEnd&) override {
    const auto passed = std::chrono::steady_clock::now() - begun_;
    meter_->add_answer(std::chrono::duration<double, std::milli>(passed).count());
  }
  void on_error(const Error& error) override {
    if (error.code == ErrorCode::unavailable) meter_->add_error();
  }

 private:
  const std::shared_ptr<ReleaseMeter> meter_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace

Status RequestRun::ask(const std::shared_ptr<WorkerPool>& pool, GenerateRequest request, std::shared_ptr<GenerateListener> listener) {
  const auto id = TRY(pool->generate(std::move(request), std::move(listener)));
  bool is_stopped;
  {
    const std::lock_guard lock(mutex_);
    pool_ = pool;
    id_ = id;
    is_stopped = stopped_;
  }
  if (is_stopped) pool->cancel(id);
  return {};
}

void RequestRun::stop() {
  std::shared_ptr<WorkerPool> pool;
  std::uint64_t id;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    pool = pool_.lock();
    id = id_;
  }
  if (pool) pool->cancel(id);
}

void copy_to(const Release& release, GenerateRequest request) {
  request.payer = "shadow";
  (void)release.pool->generate(std::move(request), std::make_shared<Shadow>(release.meter));
}

}  // namespace redoubt::gateway
