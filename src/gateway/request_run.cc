// SPDX-License-Identifier: Apache-2.0
#include "gateway/request_run.h"

#include <optional>

namespace redoubt::gateway {
namespace {

class Shadow final : public GenerateListener {
 public:
  // `guards` may be null. What they find is one of the release's alarms, and nobody else's matter.
  Shadow(std::shared_ptr<ReleaseMeter> meter, const std::shared_ptr<const guards::Guards>& guards) : meter_(std::move(meter)) {
    if (guards && guards->looks_at_answers()) guard_.emplace(guards, NoteHits());
  }
  bool forget() override {
    if (guard_) guard_->begin_again();
    return true;
  }
  void on_started(int) override {}
  void on_token(const Piece& piece) override {
    if (!guard_) return;
    (void)guard_->take(piece);
    meter_guard();
  }
  void on_done(const GenerateEnd&) override {
    if (guard_) {
      (void)guard_->end();
      meter_guard();
    }
    const auto passed = std::chrono::steady_clock::now() - begun_;
    meter_->add_answer(std::chrono::duration<double, std::milli>(passed).count());
  }
  void on_error(const Error& error) override {
    if (error.code == ErrorCode::unavailable && error.where != kQueueWhere) meter_->add_error();
  }

 private:
  void meter_guard() {
    for (auto hits = guard_->take_count(); hits > 0; --hits) meter_->add_guard_hit();
  }

  const std::shared_ptr<ReleaseMeter> meter_;
  std::optional<AnswerGuard> guard_;
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

void copy_to(const Release& release, GenerateRequest request, const std::shared_ptr<const guards::Guards>& guards) {
  request.payer = "shadow";
  (void)release.pool->generate(std::move(request), std::make_shared<Shadow>(release.meter, guards));
}

}  // namespace redoubt::gateway
