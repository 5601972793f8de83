// SPDX-License-Identifier: Apache-2.0
//
// Tells a thread that waits with epoll who has something for it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/file.h"

namespace redoubt::http::detail {

// Safe from any thread. Its descriptor is for epoll's edges: it is never read.
class Bell {
 public:
  static Result<std::shared_ptr<Bell>> create();
  // For whom, by number. A call of the system only where the waiting thread sleeps: it looks before it does.
  void ring(std::uint64_t id);
  // The rest is for the waiting thread. Who was rung for since the last call, in place of what `rung` holds.
  void take(std::vector<std::uint64_t>& rung);
  // False when somebody has rung; else whoever rings from now on wakes it, until `awake`.
  bool fall_asleep();
  void awake();
  int fd() const { return event_.get(); }

 private:
  explicit Bell(Fd event) : event_(std::move(event)) {}
  Fd event_;
  std::mutex mutex_;
  bool asleep_ = false;
  std::vector<std::uint64_t> rung_;
};

}  // namespace redoubt::http::detail
