// SPDX-License-Identifier: Apache-2.0
//
// Lines of JSON over a worker's socket, neither end able to block the other.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/file.h"
#include "base/result.h"

namespace redoubt::gateway {

constexpr std::size_t kWorkerLineBytesMax = 8 << 20;

class WorkerConnection {
 public:
  static Result<std::unique_ptr<WorkerConnection>> create(Fd socket);
  // Queues a line, given without its end, for `send_queued`; both from any thread.
  void queue(std::string line);
  void send_queued();
  void post(std::string line) {
    queue(std::move(line));
    send_queued();
  }
  // Reads and writes for at most `ms`, and hands on each whole line. unavailable when the worker closed; limit_exceeded for
  // a line that is too long, or when it lets more than 64 MiB of ours wait; else what `on_line` failed with.
  Status exchange(int ms, const std::function<Status(std::string_view line)>& on_line);
  // Ends a wait in `exchange`; from any thread.
  void wake();

 private:
  WorkerConnection(Fd socket, Fd event) : socket_(std::move(socket)), event_(std::move(event)) {}
  Status read_all(const std::function<Status(std::string_view line)>& on_line);
  Status write_all();

  Fd socket_, event_;
  std::string in_;
  std::mutex mutex_;  // guards out_
  std::string out_;
};

}  // namespace redoubt::gateway
