// SPDX-License-Identifier: Apache-2.0
//
// Tells by a thread of its own, so that whoever looks after an endpoint does not wait for a receiver that is slow to listen.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/result.h"

namespace redoubt::stages::watch {

// One message at a time. Asked by one thread.
class Telling {
 public:
  Telling();
  ~Telling();  // waits for a message that is under way

  // Begins to send the message of that id, unless one is under way. The outcome once it is known, given out once; until then, and while
  // another message is under way, nothing: ask again. The outcome of a message that nobody asks for any more is dropped for the next one.
  std::optional<Status> ask(const std::string& id, const std::function<Result<std::function<Status()>>()>& prepare);
  // Whether the next `ask` could answer something new only later.
  bool is_under_way() const;

 private:
  void run();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string id_;                    // of what is under way or was told last
  std::function<Status()> send_;      // null: nothing is under way
  std::optional<Status> outcome_;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace redoubt::stages::watch
