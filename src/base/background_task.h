// SPDX-License-Identifier: Apache-2.0
//
// Work that may take long, such as telling a receiver that is slow to listen, by a thread of its own: whoever wants its outcome asks for it
// now and then, and waits for nothing.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/result.h"

namespace redoubt {

// One task at a time. Asked by one thread.
class BackgroundTask {
 public:
  BackgroundTask();
  ~BackgroundTask();  // waits for a task that is under way

  // Begins the task of that id, unless one is under way. The outcome once it is known, given out once; until then, and while another task is
  // under way, nothing: ask again. The outcome of a task that nobody asks for any more is dropped for the next one.
  std::optional<Status> ask(const std::string& id, const std::function<Result<std::function<Status()>>()>& prepare);
  // Whether the next `ask` could answer something new only later.
  bool is_under_way() const;

 private:
  void run();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string id_;                    // of what is under way or was done last
  std::function<Status()> work_;      // null: nothing is under way
  std::optional<Status> outcome_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace redoubt
