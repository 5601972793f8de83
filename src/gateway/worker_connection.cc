// SPDX-License-Identifier: Apache-2.0
#include "gateway/worker_connection.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace redoubt::gateway {
namespace {
constexpr std::size_t kOutBytesMax = 64 << 20;
}

Result<std::unique_ptr<WorkerConnection>> WorkerConnection::create(Fd socket) {
  int flags = fcntl(socket.get(), F_GETFL);
  if (flags < 0 || fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno(errno, "preparing a socket", "engine worker");
  return std::unique_ptr<WorkerConnection>(new WorkerConnection(std::move(socket)));
}

void WorkerConnection::queue(std::string line) {
  line += '\n';
  std::lock_guard lock(mutex_);
  if (out_.empty()) out_.swap(line);
  else out_ += line;
}

Status WorkerConnection::read(const std::function<Status(std::string_view line)>& on_line) {
  std::array<char, 64 << 10> buffer;
  auto count = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (count <= 0) return fail(ErrorCode::unavailable, "the worker closed its socket", "engine worker");
  auto searched = in_.size();
  in_.append(buffer.data(), static_cast<std::size_t>(count));
  std::size_t begin = 0;
  for (auto end = in_.find('\n', searched); end != std::string::npos; end = in_.find('\n', begin)) {
    TRY(on_line(std::string_view(in_).substr(begin, end - begin)));
    begin = end + 1;
  }
  in_.erase(0, begin);
  if (in_.size() > kWorkerLineBytesMax)
    return fail(ErrorCode::limit_exceeded, "the worker sent a line beyond 8 MiB", "engine worker");
  return {};
}

Result<bool> WorkerConnection::send_queued() {
  std::lock_guard lock(mutex_);
  while (!out_.empty()) {
    auto count = ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count <= 0) return fail(ErrorCode::unavailable, "the worker closed its socket", "engine worker");
    out_.erase(0, static_cast<std::size_t>(count));
  }
  if (out_.size() > kOutBytesMax) return fail(ErrorCode::limit_exceeded, "the worker does not read", "engine worker");
  return out_.empty();
}

}  // namespace redoubt::gateway
