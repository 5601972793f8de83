// SPDX-License-Identifier: Apache-2.0
//
// Requests that take milliseconds to look at, in which the server's thread would serve nobody else: a thread of their own looks at one after
// another. Payers take turns, so that one's flood does not keep another's waiting; where too many wait, the newest of who has the most gives
// way to who has fewer.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "gateway/fair_queue.h"

namespace redoubt::gateway {

class SideThread {
 public:
  explicit SideThread(std::size_t waiting_max) : waiting_max_(waiting_max), thread_([this] { run(); }) {}
  // Works off what waits.
  ~SideThread();
  // Either `look` is called, on the thread, or `give_way`, from any. False, and none of them is, where there is no room.
  bool put(const std::string& payer, std::function<void()> look, std::function<void()> give_way);

 private:
  struct Waiting {
    std::string payer;
    std::function<void()> look, give_way;
  };
  void run();

  const std::size_t waiting_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  FairQueue queue_;
  std::map<std::uint64_t, Waiting> waiting_;
  std::uint64_t next_id_ = 1;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace redoubt::gateway
