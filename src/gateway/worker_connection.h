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
  // Queues a line, given without its end; from any thread.
  void queue(std::string line);
  // Sends what is queued as far as the socket takes it, from any thread. True when nothing is left. unavailable when the worker closed;
  // limit_exceeded when it lets more than 64 MiB of ours wait.
  Result<bool> send_queued();
  // Once the socket can be read, on one thread at a time: hands on each whole line. unavailable when the worker closed; limit_exceeded for a
  // line that is too long; else what `on_line` failed with.
  Status read(const std::function<Status(std::string_view line)>& on_line);
  int fd() const { return socket_.get(); }

 private:
  explicit WorkerConnection(Fd socket) : socket_(std::move(socket)) {}

  Fd socket_;
  std::string in_;
  std::mutex mutex_;  // guards out_
  std::string out_;
};

}  // namespace redoubt::gateway
