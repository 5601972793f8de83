// SPDX-License-Identifier: Apache-2.0
//
// Which release answers: blue/green with one step back. A switch is atomic for new requests; those under way finish where
// they are.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "gateway/worker.h"

namespace redoubt::gateway {

struct Release {
  std::string name;     // the model's name in the registry, as clients name it
  std::string version;  // "3"
  TimePoint since{};
  std::shared_ptr<WorkerPool> pool;
  std::vector<std::string> control_tokens = {};  // texts that the tokenizer reads as control tokens; no message may hold one
};

class Router {
 public:
  ~Router();
  // New requests go to `release` from now on, once its pool has a ready worker (unavailable if it has none); the active
  // release becomes the previous one and stays warm, the one before that finishes its requests and ends.
  Status activate(Release release);
  // Back to the previous release; the one left becomes previous. not_found when there is none.
  Result<std::string> roll_back();
  // Nothing is served any more, and there is nothing to go back to; requests under way still end.
  void withdraw();
  std::shared_ptr<const Release> active() const;  // null before the first activate
  std::shared_ptr<const Release> previous() const;

 private:
  void retire(std::shared_ptr<const Release> release);

  mutable std::mutex mutex_;
  std::shared_ptr<const Release> active_, previous_;
  std::vector<std::thread> retiring_;
};

}  // namespace redoubt::gateway
