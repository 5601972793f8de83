// SPDX-License-Identifier: Apache-2.0
#include "sandbox/confine.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"

namespace redoubt::sandbox {
namespace {

// Of kernels newer than the headers of Debian 12.
constexpr std::uint64_t kTruncate = 1ull << 14, kIoctlDevice = 1ull << 15;
constexpr std::uint64_t kScopeAbstractUnixSocket = 1, kScopeSignal = 2;
constexpr std::uint64_t kTcpBind = 1, kTcpConnect = 2;
struct RulesetAttributes {
  std::uint64_t handled_files = 0, handled_network = 0, scoped = 0;
};

constexpr std::uint64_t kRead = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t kWriteOld =
    LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_MAKE_FIFO |
    LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;
constexpr std::uint64_t kMakeDevices = LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;

Status allow(int ruleset, const char* path, std::uint64_t access) {
  const Fd at(open(path, O_PATH | O_CLOEXEC));
  if (!at) return fail_errno(errno, "open", path);
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access;
  rule.parent_fd = at.get();
  if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
    return fail_errno(errno, "landlock_add_rule", path);
  }
  return {};
}

bool set_limit(int resource, std::uint64_t value) {
  const rlimit limit{value, value};
  return setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0;
}

}  // namespace

Status drop_capabilities() {
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return fail_errno(errno, "clear ambient", "prctl");
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return fail_errno(errno, "drop a capability", "prctl");
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  if (syscall(SYS_capset, &header, none) != 0) return fail_errno(errno, "drop capabilities", "capset");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail_errno(errno, "set no_new_privs", "prctl");
  return {};
}

Result<int> restrict_files() {
  const long abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi <= 0) return 0;
  const std::uint64_t refer = abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
  const std::uint64_t write = kWriteOld | refer | (abi >= 3 ? kTruncate : 0) | (abi >= 5 ? kIoctlDevice : 0);
  RulesetAttributes attributes;
  attributes.handled_files = kRead | write;
  attributes.handled_network = abi >= 4 ? kTcpBind | kTcpConnect : 0;
  attributes.scoped = abi >= 6 ? kScopeAbstractUnixSocket | kScopeSignal : 0;
  const std::size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
  const Fd ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, size, 0)));
  if (!ruleset) return fail_errno(errno, "landlock_create_ruleset", "sandbox");
  TRY(allow(ruleset.get(), "/", kRead));
  for (const char* folder : {"/opt/ml", "/tmp"}) {
    TRY(allow(ruleset.get(), folder, (kRead & ~LANDLOCK_ACCESS_FS_EXECUTE) | (write & ~kMakeDevices & ~kIoctlDevice)));
  }
  TRY(allow(ruleset.get(), "/dev/null", LANDLOCK_ACCESS_FS_WRITE_FILE | (abi >= 3 ? kTruncate : 0)));
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0)
    return fail_errno(errno, "landlock_restrict_self", "sandbox");
  return static_cast<int>(abi);
}

Status limit_resources(const ResourceLimits& limits) {
  const bool done = set_limit(RLIMIT_CORE, 0) && set_limit(RLIMIT_FSIZE, limits.file_bytes_max) &&
                    set_limit(RLIMIT_NOFILE, limits.open_files_max) && set_limit(RLIMIT_NPROC, limits.processes_max) &&
                    set_limit(RLIMIT_MSGQUEUE, 0) && set_limit(RLIMIT_SIGPENDING, 4096) && set_limit(RLIMIT_RTPRIO, 0) &&
                    (limits.data_bytes_max == 0 || set_limit(RLIMIT_DATA, limits.data_bytes_max));
  if (!done) return fail_errno(errno, "set a resource limit", "sandbox");
  return {};
}

}  // namespace redoubt::sandbox
