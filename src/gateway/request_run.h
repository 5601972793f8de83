// SPDX-License-Identifier: Apache-2.0
//
// Where one request is being answered: a pool, then perhaps another. And copies of requests, whose answers nobody waits for.
#pragma once

#include <memory>
#include <mutex>

#include "gateway/answer_guard.h"
#include "gateway/router.h"
#include "gateway/worker.h"

namespace redoubt::gateway {

// Safe from several threads. It holds pools weakly: callbacks that hold it live as long as an answer, and a pool's end must not wait for itself.
class RequestRun {
 public:
  // As WorkerPool::generate; cancelled at once if it was stopped before.
  Status ask(const std::shared_ptr<WorkerPool>& pool, GenerateRequest request, std::shared_ptr<GenerateListener> listener);
  void stop();

 private:
  std::mutex mutex_;
  std::weak_ptr<WorkerPool> pool_;
  std::uint64_t id_ = 0;
  bool stopped_ = false;
};

// Asks the release too, at the back of its queue's payers. What it says is measured, with what the guards (null: none) find in it, and dropped;
// one that does not fit its queue is left out.
void copy_to(const Release& release, GenerateRequest request, const std::shared_ptr<const guards::Guards>& guards);

}  // namespace redoubt::gateway
