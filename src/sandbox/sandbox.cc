// SPDX-License-Identifier: Apache-2.0
#include "sandbox/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sandbox/channel.h"
#include "sandbox/init.h"
#include "sandbox/proof.h"

namespace redoubt::sandbox {
namespace {

// Users far above those that systems hand out; each sandbox gets its own by the number of its supervisor.
constexpr unsigned kFirstHostUser = 1'000'000'000;
constexpr int kAnswerMs = 30'000;
constexpr std::size_t kLayerChunk = 1 << 20;

Json to_json(const Limits& limits) {
  return {{"root_bytes_max", limits.root_bytes_max}, {"root_entries_max", limits.root_entries_max},
          {"work_bytes_max", limits.work_bytes_max}, {"work_files_max", limits.work_files_max},
          {"processes_max", limits.processes_max},   {"temporary_bytes_max", limits.temporary_bytes_max},
          {"open_files_max", limits.open_files_max}};
}

bool write_map(pid_t process, const char* file, const std::string& text) {
  const std::string path = "/proc/" + std::to_string(process) + "/" + file;
  const Fd map(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return map && ::write(map.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

Status map_user(pid_t process, unsigned user, unsigned group) {
  if (write_map(process, "setgroups", "deny") && write_map(process, "uid_map", "65532 " + std::to_string(user) + " 1") &&
      write_map(process, "gid_map", "65532 " + std::to_string(group) + " 1")) {
    return {};
  }
  return fail(ErrorCode::unsupported, std::string("the sandbox's user can't be mapped: ") + strerrordesc_np(errno),
              "uid_map", "allow user namespaces to this user");
}

Result<Message> expect(int channel, int timeout_ms = kAnswerMs) {
  Message message = TRY(receive_message(channel, timeout_ms));
  TRY(check_message(message.body));
  return message;
}

Result<pid_t> spawn_supervisor(int channel, int lifeline) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int fd : {0, 1, 2}) posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  // By way of high numbers, since either may already be 3 or 4.
  const Fd high_channel(fcntl(channel, F_DUPFD_CLOEXEC, 64)), high_lifeline(fcntl(lifeline, F_DUPFD_CLOEXEC, 64));
  posix_spawn_file_actions_adddup2(&actions, high_channel.get(), kChannelFd);
  posix_spawn_file_actions_adddup2(&actions, high_lifeline.get(), kLifelineFd);
  posix_spawn_file_actions_addclosefrom_np(&actions, kLifelineFd + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  // A session of its own: a Ctrl-C at the terminal is the parent's to handle.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  std::string name = kInitName, libraries = "LD_LIBRARY_PATH=";
  const char* path = getenv("LD_LIBRARY_PATH");
  if (path != nullptr) libraries += path;
  char* arguments[] = {name.data(), nullptr};
  char* environment[] = {path != nullptr ? libraries.data() : nullptr, nullptr};
  pid_t process = -1;
  const int error = posix_spawn(&process, "/proc/self/exe", &actions, &attributes, arguments, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail_errno(error, "start the sandbox", "/proc/self/exe");
  return process;
}

Status send_all(int socket, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return fail_errno(errno, "send a layer", "sandbox");
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return {};
}

}  // namespace

Json to_json(const Confinement& confinement) {
  constexpr const char* kMemory[] = {"cgroup v1", "cgroup v2", "data of each process"};
  return {{"host_user", confinement.host_user},
          {"landlock_abi", confinement.landlock_abi},
          {"memory_limit", kMemory[static_cast<int>(confinement.memory)]},
          {"proved", confinement.proved}};
}

Result<std::unique_ptr<Sandbox>> Sandbox::create(Options options) {
  keep_init();
  std::unique_ptr<Sandbox> sandbox(new Sandbox());
  TRY(sandbox->set_up(options));
  return sandbox;
}

Status Sandbox::set_up(Options& options) {
  limits_ = options.limits;
  auto [ours, theirs] = TRY(make_channel());
  int lifeline_ends[2];
  // A socket and not a pipe: writing to one whose reader is gone must not raise SIGPIPE.
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lifeline_ends) != 0)
    return fail_errno(errno, "socketpair", "sandbox");
  Fd lifeline_end(lifeline_ends[0]);
  lifeline_ = Fd(lifeline_ends[1]);
  supervisor_ = TRY(spawn_supervisor(theirs.get(), lifeline_end.get()));
  theirs.reset();
  lifeline_end.reset();
  control_ = std::move(ours);
  TRY(prepare_cgroup(options.limits, options.require));
  TRY(send_message(control_.get(), to_json(options.limits)));
  TRY(expect(control_.get()));
  const bool root = geteuid() == 0;
  confinement_.host_user = root ? kFirstHostUser + static_cast<unsigned>(supervisor_) : geteuid();
  TRY(map_user(supervisor_, confinement_.host_user, root ? confinement_.host_user : getegid()));
  TRY(send_message(control_.get(), {{"ok", "mapped"}}));
  init_ = TRY(expect(control_.get())).sender;
  TRY(send_layers(options.layers));
  TRY(send_message(control_.get(), {{"finish", true}}));
  Message built = TRY(expect(control_.get()));
  if (built.fds.size() != 1) return fail(ErrorCode::internal, "no work folder came", "sandbox");
  confinement_.landlock_abi = static_cast<int>(TRY(json_integer(built.body, "landlock", "sandbox")));
  if (options.require.landlock && confinement_.landlock_abi == 0) {
    return fail(ErrorCode::unsupported, "this kernel has no Landlock", "sandbox",
                "boot with lsm=...,landlock or don't require it");
  }
  work_ = std::make_unique<WorkFolder>(std::move(built.fds[0]), confinement_.host_user, limits_.work_bytes_max,
                                       limits_.work_files_max);
  return {};
}

Status Sandbox::prepare_cgroup(const Limits& limits, const Requirements& require) {
  auto group = Cgroup::create(supervisor_, {limits.memory_bytes_max, limits.processes_max + 1});
  if (group) {
    confinement_.memory = (*group)->version() == 2 ? MemoryLimit::cgroup_v2 : MemoryLimit::cgroup_v1;
    cgroup_ = std::move(*group);
  } else if (require.memory_cgroup) {
    return fail(std::move(group.error()));
  }
  return {};
}

Status Sandbox::send_layers(std::vector<std::unique_ptr<Source>>& layers) {
  Bytes chunk(kLayerChunk);
  for (auto& layer : layers) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno(errno, "socketpair", "sandbox");
    Fd ours(ends[0]);
    {
      const Fd theirs(ends[1]);
      TRY(send_message(control_.get(), {{"layer", true}}, {ends + 1, 1}));
    }
    for (;;) {
      // The source's own error comes first: a layer that isn't what its digest says is tampered, whatever the unpacker says.
      const std::size_t got = TRY(layer->read(chunk));
      if (got == 0) break;
      if (!send_all(ours.get(), ByteView(chunk).first(got))) break;  // the unpacker says why
    }
    ours.reset();
    TRY(expect(control_.get(), -1));
  }
  return {};
}

Status Sandbox::start(const Command& command) {
  if (program_ >= 0) return fail(ErrorCode::invalid_argument, "the sandbox was started before", "sandbox");
  if (command.arguments.empty() || !command.arguments[0].starts_with('/')) {
    return fail(ErrorCode::invalid_argument, "the program needs an absolute path", "sandbox");
  }
  auto [gate, their_gate] = TRY(make_channel());
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0) return fail_errno(errno, "pipe", "sandbox");
  stdout_ = Fd(out[0]);
  const Fd their_stdout(out[1]);
  if (pipe2(err, O_CLOEXEC) != 0) return fail_errno(errno, "pipe", "sandbox");
  stderr_ = Fd(err[0]);
  const Fd their_stderr(err[1]);
  const Fd nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::vector<int> fds{nothing.get(), their_stdout.get(), their_stderr.get()};
  Json environment = command.environment;
  for (const InheritedFd& inherited : command.inherited) {
    if (!inherited.environment_variable.empty()) {
      environment.push_back(inherited.environment_variable + "=" + std::to_string(fds.size()));
    }
    fds.push_back(inherited.fd);
  }
  fds.push_back(their_gate.get());
  Json limits = to_json(limits_);
  limits["data_bytes_max"] = cgroup_ ? 0 : limits_.memory_bytes_max;
  // Init first, so that what it forks is in the group from its first page.
  if (cgroup_) TRY(cgroup_->add(init_));
  TRY(send_message(control_.get(), {{"arguments", command.arguments}, {"environment", environment}, {"limits", limits}},
                   fds));
  their_gate.reset();
  return check_and_release(gate.get());
}

Status Sandbox::check_and_release(int gate) {
  const Message waiting = TRY(expect(gate));
  program_ = waiting.sender;
  auto proved = prove_confinement(program_, confinement_.host_user);
  if (!proved) {
    kill();
    return fail(std::move(proved.error()));
  }
  confinement_.proved = std::move(*proved);
  TRY(send_message(gate, {{"ok", "run"}}));
  // The end of the connection is the exec's success; silence is none.
  pollfd answered{gate, POLLIN, 0};
  int ready;
  while ((ready = poll(&answered, 1, kAnswerMs)) < 0 && errno == EINTR) {
  }
  if (ready == 0) {
    kill();
    return fail(ErrorCode::unavailable, "the program didn't start in time", "sandbox");
  }
  const auto answer = receive_message(gate, 0);
  if (answer) return check_message(answer->body);
  return {};
}

void Sandbox::kill() {
  const char byte = 0;
  // A message's failure means that the supervisor is gone, and all with it.
  if (lifeline_) send(lifeline_.get(), &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Sandbox::reap() {
  if (supervisor_ < 0 || reaped_) return;
  kill();
  rusage used{};
  while (wait4(supervisor_, nullptr, 0, &used) < 0 && errno == EINTR) {
  }
  const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6; };
  usage_ = {seconds(used.ru_utime) + seconds(used.ru_stime), static_cast<std::uint64_t>(used.ru_maxrss) * 1024};
  reaped_ = true;
}

Sandbox::~Sandbox() { reap(); }

}  // namespace redoubt::sandbox
