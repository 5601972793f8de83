// SPDX-License-Identifier: Apache-2.0
//
// The sandbox's own processes. The parent runs its own executable anew under the name kInitName; the constructor below takes
// over before main. So nothing of the parent's memory (keys, tokens) comes along, and no separate helper has to be found.
//
//   supervisor (pid of the host): makes the namespaces, watches the lifeline, ends init when the parent is gone
//   init       (pid 1 inside):    builds the root, gives everything up, starts the program, reaps
//   program:                      waits for the parent's proof, then becomes the image's program
#include "sandbox/init.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sandbox/channel.h"
#include "sandbox/confine.h"
#include "sandbox/root.h"
#include "sandbox/unpack.h"

namespace redoubt::sandbox {
namespace {

constexpr int kInsideUser = 65532;

class SocketSource final : public Source {
 public:
  explicit SocketSource(int socket) : socket_(socket) {}
  Result<std::size_t> read(MutableByteView into) override {
    ssize_t got;
    while ((got = recv(socket_, into.data(), into.size(), 0)) < 0 && errno == EINTR) {
    }
    if (got < 0) return fail_errno(errno, "read a layer", "sandbox");
    return static_cast<std::size_t>(got);
  }

 private:
  int socket_;
};

std::uint64_t number(const Json& object, const char* key) { return object.at(key).get<std::uint64_t>(); }

Status become_inside_user() {
  if (setresgid(kInsideUser, kInsideUser, kInsideUser) != 0 || setresuid(kInsideUser, kInsideUser, kInsideUser) != 0) {
    return fail_errno(errno, "become the sandbox's user", "sandbox");
  }
  return {};
}

Status build(int channel, const Json& limits) {
  Root root = TRY(
      Root::enter({number(limits, "root_bytes_max"), number(limits, "root_entries_max"), number(limits, "work_bytes_max"),
                   number(limits, "work_files_max"), number(limits, "temporary_bytes_max")}));
  TRY(send_message(channel, {{"ok", "root"}}));
  UnpackLimits unpack{number(limits, "root_bytes_max"), number(limits, "root_entries_max")};
  for (;;) {
    const Message message = TRY(receive_message(channel));
    if (message.body.contains("finish")) break;
    if (message.fds.size() != 1) return fail(ErrorCode::internal, "a layer without a stream", "sandbox");
    SocketSource layer(message.fds[0].get());
    TRY(unpack_layer(layer, root.folder(), unpack));
    TRY(send_message(channel, {{"ok", "layer"}}));
  }
  const Fd work = TRY(root.finish());
  TRY(drop_capabilities());
  const int folder = work.get();
  const int landlock = TRY(restrict_files());
  TRY(filter_system_calls());
  return send_message(channel, {{"ok", "built"}, {"landlock", landlock}}, {&folder, 1});
}

// Numbers the descriptors 0, 1, 2, 3...; the gate comes after them and closes on exec.
Status place_descriptors(std::vector<Fd>& fds) {
  std::vector<int> high;
  for (Fd& fd : fds) high.push_back(fcntl(fd.get(), F_DUPFD_CLOEXEC, 100));
  const int program_fds = static_cast<int>(fds.size()) - 1;
  for (int i = 0; i <= program_fds; ++i) {
    if (high[i] < 0 || dup3(high[i], i, i == program_fds ? O_CLOEXEC : 0) != i) {
      return fail_errno(errno, "place a descriptor", "sandbox");
    }
  }
  for (Fd& fd : fds) fd.release();
  if (close_range(static_cast<unsigned>(program_fds) + 1, ~0u, 0) != 0) return fail_errno(errno, "close_range", "sandbox");
  return {};
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

Status run_program(Message message, int& gate) {
  const Json& limits = message.body.at("limits");
  gate = static_cast<int>(message.fds.size()) - 1;
  TRY(place_descriptors(message.fds));
  setsid();
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail_errno(errno, "prctl", "sandbox");
  // The parent, when it is no root, may read /proc/<pid>/ns only of a dumpable process; nothing secret is in this one.
  prctl(PR_SET_DUMPABLE, 1);
  TRY(limit_resources({number(limits, "work_bytes_max"), number(limits, "open_files_max"), number(limits, "processes_max"),
                       number(limits, "data_bytes_max")}));
  auto arguments = message.body.at("arguments").get<std::vector<std::string>>();
  auto environment = message.body.at("environment").get<std::vector<std::string>>();
  TRY(send_message(gate, {{"ok", "confined"}}));
  TRY(receive_message(gate));
  const auto argv = pointers(arguments), envp = pointers(environment);
  execve(argv[0], argv.data(), envp.data());
  return fail_errno(errno, "run", arguments[0]);
}

int reap_until(pid_t program) {
  for (;;) {
    int status = 0;
    const pid_t ended = waitpid(-1, &status, 0);
    if (ended == program) return status;
    if (ended < 0 && errno != EINTR) return 0x7f00;
  }
}

// In pid 1 of the sandbox.
Status serve(int channel, const Json& limits) {
  TRY(build(channel, limits));
  Message command = TRY(receive_message(channel));
  const pid_t program = fork();
  if (program < 0) return fail_errno(errno, "fork", "sandbox");
  if (program == 0) {
    int gate = -1;
    const Status result = run_program(std::move(command), gate);
    if (!result && gate >= 0) static_cast<void>(send_message(gate, error_message(result.error())));
    _exit(127);
  }
  command.fds.clear();
  const int status = reap_until(program);
  return send_message(channel, {{"status", status}});
}

int run_init(int channel, const Json& limits) {
  try {
    const Status result = serve(channel, limits);
    if (!result) static_cast<void>(send_message(channel, error_message(result.error())));
    return result ? 0 : 1;
  } catch (const std::exception& error) {
    static_cast<void>(send_message(channel, error_message({ErrorCode::internal, error.what(), "sandbox", ""})));
    return 1;
  }
}

// Ends with init, or ends it: when the parent asks (a byte) or is gone (the end of the pipe).
int watch(pid_t init) {
  const int child = pidfd_of(init);
  pollfd events[2] = {{kLifelineFd, POLLIN, 0}, {child, POLLIN, 0}};
  while (poll(events, 2, -1) < 0 && errno == EINTR) {
  }
  if (events[1].revents == 0) ::kill(init, SIGKILL);
  int status = 0;
  while (waitpid(init, &status, 0) < 0 && errno == EINTR) {
  }
  return 0;
}

Status supervise() {
  const Message setup = TRY(receive_message(kChannelFd));
  // As root we may leave root's groups; an ordinary user keeps its own, and no file of the host that they could open.
  if (geteuid() == 0 && setgroups(0, nullptr) != 0) return fail_errno(errno, "setgroups", "sandbox");
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP) !=
      0) {
    return fail(
        ErrorCode::unsupported, std::string("no namespaces of its own: ") + strerrordesc_np(errno), "unshare",
        "allow user namespaces: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone; in a container, an "
        "unconfined seccomp and AppArmor profile");
  }
  TRY(send_message(kChannelFd, {{"ok", "unshared"}}));
  TRY(receive_message(kChannelFd));  // our user is mapped
  TRY(become_inside_user());
  if (sethostname("redoubt", 7) != 0) return fail_errno(errno, "sethostname", "sandbox");
  const pid_t init = fork();
  if (init < 0) return fail_errno(errno, "fork", "sandbox");
  if (init == 0) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0) _exit(1);
    close(kLifelineFd);
    _exit(run_init(kChannelFd, setup.body));
  }
  close(kChannelFd);
  TRY(drop_capabilities());
  _exit(watch(init));
}

__attribute__((constructor(101))) void take_over(int count, char** arguments) {
  if (count != 1 || std::strcmp(arguments[0], kInitName) != 0) return;
  signal(SIGPIPE, SIG_IGN);
  umask(022);
  int code = 1;
  try {
    const Status result = supervise();
    if (!result) static_cast<void>(send_message(kChannelFd, error_message(result.error())));
  } catch (const std::exception&) {
    code = 2;
  }
  _exit(code);
}

}  // namespace

void keep_init() {}

}  // namespace redoubt::sandbox
