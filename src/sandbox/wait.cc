// SPDX-License-Identifier: Apache-2.0
//
// The parent's loop while the program runs. Everything read here was written by the program and is bounded.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "sandbox/channel.h"
#include "sandbox/sandbox.h"

namespace redoubt::sandbox {
namespace {

using Steady = std::chrono::steady_clock;

enum class LongLine { refuse, split };

// Cuts a pipe's bytes into lines.
class Lines {
 public:
  Lines(Fd& pipe, std::size_t bytes_max, LongLine policy, std::function<Status(std::string_view)> sink)
      : pipe_(pipe), bytes_max_(bytes_max), policy_(policy), sink_(std::move(sink)) {
    fcntl(pipe_.get(), F_SETFL, O_NONBLOCK);
  }
  int fd() const { return pipe_.get(); }

  // Reads at most 1 MiB, so that a program that writes without end can't keep us from its time limit.
  Status read_some() {
    char buffer[1 << 16];
    for (int i = 0; i < 16 && pipe_; ++i) {
      const ssize_t got = ::read(pipe_.get(), buffer, sizeof buffer);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
      if (got <= 0) return finish();
      TRY(take({buffer, static_cast<std::size_t>(got)}));
    }
    return {};
  }
  Status finish() {
    pipe_.reset();
    if (partial_.empty()) return {};
    const std::string last = std::exchange(partial_, {});
    return sink_(last);
  }

 private:
  Status take(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t newline = std::min(bytes.find('\n'), bytes.size());
      const std::size_t room = bytes_max_ - partial_.size();
      if (newline > room && policy_ == LongLine::refuse) {
        return fail(ErrorCode::limit_exceeded, "the program wrote a line that is too long", "stdout");
      }
      const std::size_t length = std::min(newline, room);
      partial_ += bytes.substr(0, length);
      const bool whole = length == newline && newline < bytes.size();
      bytes.remove_prefix(length + (whole ? 1 : 0));
      if (!whole && partial_.size() < bytes_max_) continue;
      const std::string line = std::exchange(partial_, {});
      TRY(sink_(line));
    }
    return {};
  }

  Fd& pipe_;
  std::size_t bytes_max_;
  LongLine policy_;
  std::function<Status(std::string_view)> sink_;
  std::string partial_;
};

}  // namespace

// The status that init sends at the end; -1 while there is none. `ended` when init is gone without one.
Result<int> Sandbox::read_status(bool& ended) {
  auto message = receive_message(control_.get(), 0);
  ended = true;
  if (!message) return -1;
  TRY(check_message(message->body));
  return static_cast<int>(TRY(json_integer(message->body, "status", "sandbox")));
}

Result<Exit> Sandbox::wait(const WaitOptions& options, OutputHandler& handler) {
  auto result = watch(options, handler);
  if (!result) reap();
  return result;
}

Result<Exit> Sandbox::watch(const WaitOptions& options, OutputHandler& handler) {
  if (program_ < 0 || reaped_) return fail(ErrorCode::invalid_argument, "nothing runs in the sandbox", "sandbox");
  Lines out(stdout_, options.stdout_line_bytes_max, LongLine::refuse, [&](auto line) { return handler.on_stdout(line); });
  Lines err(stderr_, options.stderr_line_bytes_max, LongLine::split, [&](auto line) { return handler.on_stderr(line); });
  const auto start = Steady::now();
  auto next_tick = start + options.tick;
  bool ended = false, timed_out = false;
  int status = -1;
  while (!ended) {
    if (Steady::now() - start >= options.time_max) {
      timed_out = true;
      break;
    }
    pollfd events[3] = {{control_.get(), POLLIN, 0}, {out.fd(), POLLIN, 0}, {err.fd(), POLLIN, 0}};
    const auto until = std::min(next_tick, start + options.time_max) - Steady::now();
    poll(events, 3,
         static_cast<int>(std::clamp<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(until).count(), 0, 1000)));
    if (events[1].revents != 0) TRY(out.read_some());
    if (events[2].revents != 0) TRY(err.read_some());
    if (events[0].revents != 0) status = TRY(read_status(ended));
    if (Steady::now() >= next_tick) {
      TRY(handler.on_tick());
      next_tick = Steady::now() + options.tick;
    }
  }
  const bool out_of_memory = cgroup_ && cgroup_->ran_out_of_memory();
  reap();
  // What is left in the pipes; nobody writes any more.
  while (stdout_) TRY(out.read_some());
  while (stderr_) TRY(err.read_some());
  if (timed_out) return Exit{Ending::timed_out, 128 + SIGKILL};
  if (status >= 0 && WIFEXITED(status)) return Exit{Ending::exited, WEXITSTATUS(status)};
  if (out_of_memory) return Exit{Ending::out_of_memory, 128 + SIGKILL};
  if (status >= 0) return Exit{Ending::signalled, 128 + WTERMSIG(status)};
  return Exit{Ending::killed, 128 + SIGKILL};
}

}  // namespace redoubt::sandbox
