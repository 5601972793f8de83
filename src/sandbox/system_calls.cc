// SPDX-License-Identifier: Apache-2.0
//
// The allow-list. It holds what glibc, libstdc++, OpenMP, libtorch and CPython call to compute on files and memory that they
// have; nothing that makes sockets, namespaces, mounts, keys, traces, modules, kernel programs or asynchronous rings.
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "sandbox/confine.h"

namespace redoubt::sandbox {
namespace {

constexpr const char* kAllowed[] = {
    // files
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "open", "openat",
    "openat2", "creat", "close", "close_range", "stat", "fstat", "lstat", "newfstatat", "statx", "statfs", "fstatfs",
    "lseek", "access", "faccessat", "faccessat2", "dup", "dup2", "dup3", "fcntl", "flock", "fsync", "fdatasync",
    "sync_file_range", "truncate", "ftruncate", "fallocate", "fadvise64", "readahead", "getdents", "getdents64", "getcwd",
    "chdir", "fchdir", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "link",
    "linkat", "symlink", "symlinkat", "readlink", "readlinkat", "chmod", "fchmod", "fchmodat", "umask", "utime", "utimes",
    "utimensat", "futimesat", "sendfile", "copy_file_range", "splice", "tee", "memfd_create",
    // memory
    "mmap", "munmap", "mremap", "mprotect", "madvise", "msync", "mincore", "brk", "mlock", "mlock2", "munlock", "membarrier",
    "get_mempolicy", "set_mempolicy", "mbind", "pkey_alloc", "pkey_free", "pkey_mprotect",
    // processes and threads of this sandbox
    "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "getpid", "getppid", "gettid", "getpgid",
    "getpgrp", "setpgid", "getsid", "setsid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid",
    "getgroups", "capget", "set_tid_address", "set_robust_list", "get_robust_list", "rseq", "futex", "futex_waitv",
    "arch_prctl", "getrlimit", "getrusage", "times", "sysinfo", "uname", "getcpu", "getpriority", "setpriority",
    "sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_getscheduler",
    "sched_get_priority_max", "sched_get_priority_min", "sched_rr_get_interval", "sched_getattr",
    // signals
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigqueueinfo",
    "rt_tgsigqueueinfo", "sigaltstack", "kill", "tkill", "tgkill", "pause", "alarm", "restart_syscall", "signalfd",
    "signalfd4",
    // time and waiting
    "clock_gettime", "clock_getres", "clock_nanosleep", "gettimeofday", "time", "nanosleep", "timer_create", "timer_settime",
    "timer_gettime", "timer_getoverrun", "timer_delete", "timerfd_create", "timerfd_settime", "timerfd_gettime", "setitimer",
    "getitimer", "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait",
    "epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2", "inotify_init1", "inotify_add_watch", "inotify_rm_watch",
    // pipes and the sockets it was given
    "pipe", "pipe2", "sendto", "recvfrom", "sendmsg", "recvmsg", "shutdown", "getsockname", "getpeername", "getsockopt",
    "setsockopt", "getrandom"};

constexpr std::uint64_t kNewNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
constexpr unsigned kIoctls[] = {TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX};
constexpr unsigned kPrctls[] = {PR_SET_NAME,       PR_GET_NAME,        PR_SET_PDEATHSIG,  PR_GET_PDEATHSIG,
                                PR_GET_DUMPABLE,   PR_SET_DUMPABLE,    PR_CAPBSET_READ,   PR_GET_NO_NEW_PRIVS,
                                PR_GET_SECCOMP,    PR_SET_VMA,         PR_GET_KEEPCAPS,   PR_SET_TIMERSLACK,
                                PR_GET_TIMERSLACK, PR_SET_THP_DISABLE, PR_GET_THP_DISABLE};

int add_allowed(scmp_filter_ctx filter) {
  int result = 0;
  for (const char* name : kAllowed) {
    const int number = seccomp_syscall_resolve_name(name);
    // A name that this architecture hasn't got needs no rule.
    if (number != __NR_SCMP_ERROR && number >= 0) result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
  }
  return result;
}

int add_conditional(scmp_filter_ctx filter) {
  int result = 0;
  result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, kNewNamespaces, 0));
  // Its flags are behind a pointer that a filter can't read; glibc falls back to clone.
  result |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0));
  // Reading and lowering one's own limits, not another process's.
  result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A0(SCMP_CMP_EQ, 0, 0));
  result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setrlimit), 0);
  for (unsigned request : kIoctls) {
    result |=
        seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, request));
  }
  for (unsigned option : kPrctls) {
    result |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, 0xffffffffu, option));
  }
  return result;
}

}  // namespace

Status filter_system_calls() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)), seccomp_release);
  if (!filter) return fail(ErrorCode::unsupported, "no system call filter", "seccomp");
  int result = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree: fewer steps a call; only speed
  result |= add_allowed(filter.get());
  result |= add_conditional(filter.get());
  if (result == 0) result = seccomp_load(filter.get());
  if (result != 0) return fail(ErrorCode::unsupported, "the system call filter can't be loaded", "seccomp");
  return {};
}

}  // namespace redoubt::sandbox
