// SPDX-License-Identifier: Apache-2.0
//
// The prisoner: `probe ATTEMPT [ARGUMENTS]` tries one thing from inside a sandbox and prints "allowed" or "refused <errno>".
// A static program without our libraries, so that the tests judge what the kernel does and not what our code says.
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/vm_sockets.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

int said(bool allowed) {
  if (allowed) {
    std::puts("allowed");
  } else {
    std::printf("refused %s\n", strerrorname_np(errno));
  }
  return 0;
}

int open_file(const char* path, int flags) { return said(open(path, flags, 0644) >= 0); }

int use_memory(std::size_t megabytes) {
  for (std::size_t i = 0; i < megabytes; ++i) {
    void* page = mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return said(false);
    std::memset(page, 1, 1 << 20);
  }
  return said(true);
}

int fork_many(int count) {
  int made = 0;
  for (; made < count; ++made) {
    const pid_t child = fork();
    if (child < 0) break;
    if (child == 0) {
      pause();
      _exit(0);
    }
  }
  std::printf("forked %d\n", made);
  return 0;
}

int fill(const char* path, long megabytes) {
  signal(SIGXFSZ, SIG_IGN);
  const int file = open(path, O_WRONLY | O_CREAT, 0644);
  static char block[1 << 20];
  for (long i = 0; i < megabytes; ++i) {
    if (write(file, block, sizeof block) != static_cast<ssize_t>(sizeof block)) return said(false);
  }
  return said(true);
}

int list_fds() {
  for (int fd = 0; fd < 1024; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) std::printf("%d ", fd);
  }
  std::puts("");
  return 0;
}

int system_call(const std::string& name) {
  if (name == "unshare") return said(unshare(CLONE_NEWUSER) == 0);
  if (name == "mount") return said(mount("none", "/tmp", "tmpfs", 0, nullptr) == 0);
  if (name == "remount") return said(mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND, nullptr) == 0);
  if (name == "umount") return said(umount2("/proc/keys", MNT_DETACH) == 0);
  if (name == "chroot") return said(chroot("/tmp") == 0);
  if (name == "ptrace") return said(ptrace(PTRACE_ATTACH, 1, nullptr, nullptr) == 0);
  if (name == "setuid") return said(syscall(SYS_setresuid, 0, 0, 0) == 0);
  if (name == "setgroups") return said(syscall(SYS_setgroups, 0, nullptr) == 0);
  if (name == "keyctl") return said(syscall(SYS_keyctl, 0, -3, 0) >= 0);
  if (name == "bpf") return said(syscall(SYS_bpf, BPF_MAP_CREATE, nullptr, 0) >= 0);
  if (name == "io_uring") return said(syscall(SYS_io_uring_setup, 1, nullptr) >= 0);
  if (name == "userfaultfd") return said(syscall(SYS_userfaultfd, 0) >= 0);
  if (name == "perf_event_open") return said(syscall(SYS_perf_event_open, nullptr, 0, -1, -1, 0) >= 0);
  if (name == "process_vm_readv") return said(syscall(SYS_process_vm_readv, 1, nullptr, 0, nullptr, 0, 0) >= 0);
  if (name == "open_by_handle_at") return said(syscall(SYS_open_by_handle_at, 0, nullptr, 0) >= 0);
  if (name == "mknod") return said(mknod("/opt/ml/disk", S_IFBLK | 0600, 0x800) == 0);
  if (name == "clone_user") return said(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) >= 0);
  if (name == "clone3") return said(syscall(SYS_clone3, nullptr, 0) >= 0);
  if (name == "raise_limit") {
    return said(syscall(SYS_prlimit64, 1, 7, nullptr, nullptr) == 0);
  }
  if (name == "capability") return said(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0) == 0);
  if (name == "seteuid_thread") return said(syscall(SYS_setreuid, 0, 0) == 0);
  if (name == "personality") return said(syscall(SYS_personality, 0x0400000) >= 0);
  if (name == "kill_init") return said(kill(1, SIGKILL) == 0 && (usleep(200'000), getppid() != 1));
  return 99;
}

int make_socket(const std::string& family) {
  if (family == "inet") return said(socket(AF_INET, SOCK_STREAM, 0) >= 0);
  if (family == "inet6") return said(socket(AF_INET6, SOCK_DGRAM, 0) >= 0);
  if (family == "unix") return said(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
  if (family == "netlink") return said(socket(AF_NETLINK, SOCK_RAW, 0) >= 0);
  if (family == "vsock") return said(socket(AF_VSOCK, SOCK_STREAM, 0) >= 0);
  if (family == "packet") return said(socket(AF_PACKET, SOCK_RAW, 0) >= 0);
  if (family == "alg") return said(socket(AF_ALG, SOCK_SEQPACKET, 0) >= 0);
  return 99;
}

// A tree of processes that outlives this one, away from its session.
int leave_daemon() {
  if (fork() == 0) {
    setsid();
    signal(SIGTERM, SIG_IGN);
    if (fork() == 0) {
      for (;;) sleep(1);
    }
    for (;;) sleep(1);
  }
  std::puts("left");
  return 0;
}

std::string contents_of(const char* path) {
  std::string text(1 << 16, '\0');
  const int file = open(path, O_RDONLY);
  const ssize_t got = read(file, text.data(), text.size());
  close(file);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

void put(const char* path, const std::string& text) {
  const int file = open(path, O_WRONLY | O_CREAT, 0644);
  if (file < 0 || write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::perror(path);
  close(file);
}

// A job as SageMaker's container contract has it: doubles its training channel.
int train() {
  std::puts("{\"event\":\"plan\",\"steps\":1}");
  std::puts("no event");
  std::fputs("a log line\n", stderr);
  const std::string text = contents_of("/opt/ml/input/data/train/a.txt");
  mkdir("/opt/ml/checkpoints/checkpoint-1.tmp", 0755);
  put("/opt/ml/checkpoints/checkpoint-1.tmp/state", text);
  rename("/opt/ml/checkpoints/checkpoint-1.tmp", "/opt/ml/checkpoints/checkpoint-1");
  mkdir("/opt/ml/checkpoints/checkpoint-2.tmp", 0755);
  put("/opt/ml/model/adapter.bin", text + text);
  put("/opt/ml/output/data/config.json", contents_of("/opt/ml/input/config/hyperparameters.json"));
  return 0;
}

int fail_job() {
  put("/opt/ml/output/failure", std::string(5000, 'f'));
  return 3;
}

// Answers each byte of its worker socket until its end.
int serve() {
  std::fputs(contents_of("/opt/ml/model/base/config.json").c_str(), stderr);
  const int fd = std::atoi(std::getenv("REDOUBT_WORKER_FD"));
  for (char byte; read(fd, &byte, 1) == 1;) {
    if (write(fd, &byte, 1) != 1) return 1;
  }
  return 0;
}

}  // namespace

extern char** environ;

int main(int count, char** arguments) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const std::string attempt = count > 1 ? arguments[1] : "";
  const char* first = count > 2 ? arguments[2] : "";
  const char* second = count > 3 ? arguments[3] : "";
  if (attempt == "call") return system_call(first);
  if (attempt == "socket") return make_socket(first);
  if (attempt == "read") return open_file(first, O_RDONLY);
  if (attempt == "write") return open_file(first, O_WRONLY | O_CREAT);
  if (attempt == "link") return said(symlink(first, second) == 0);
  if (attempt == "fifo") return said(mkfifo(first, 0644) == 0);
  if (attempt == "memory") return use_memory(std::strtoul(first, nullptr, 10));
  if (attempt == "fork") return fork_many(std::atoi(first));
  if (attempt == "fill") return fill(first, std::atol(second));
  if (attempt == "fds") return list_fds();
  if (attempt == "daemon") return leave_daemon();
  if (attempt == "exit") return std::atoi(first);
  if (attempt == "abort") std::abort();
  if (attempt == "ids") return std::printf("%d %d %d\n", getpid(), getuid(), getgid()) < 0;
  if (attempt == "sleep") return static_cast<int>(sleep(static_cast<unsigned>(std::atoi(first))));
  if (attempt == "say") return std::printf("%s\n", first) < 0;
  if (attempt == "long") {
    for (long i = std::atol(first); i > 0; --i) std::putchar('x');
    return 0;
  }
  if (attempt == "env") {
    for (char** variable = environ; *variable != nullptr; ++variable) std::puts(*variable);
    return 0;
  }
  if (attempt == "run") {
    execl(first, first, "say", "ran", nullptr);
    return said(false);
  }
  if (attempt == "train") return train();
  if (attempt == "fail_job") return fail_job();
  if (attempt == "plant") return symlink("/etc/passwd", "/opt/ml/model/adapter.bin");
  if (attempt == "serve") return serve();
  if (attempt == "wait") return pause();
  if (attempt == "echo_fd") {
    const int fd = std::atoi(std::getenv("WORKER_FD"));
    char byte = 0;
    return read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1 ? 0 : 1;
  }
  return 99;
}
