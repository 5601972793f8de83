// SPDX-License-Identifier: Apache-2.0
//
// The file system that a sandbox sees, built by the first process of its namespaces.
#pragma once

#include "base/file.h"

namespace redoubt::sandbox {

struct RootLimits {
  std::uint64_t root_bytes_max = 0, root_entries_max = 0;
  std::uint64_t work_bytes_max = 0, work_files_max = 0;
  std::uint64_t temporary_bytes_max = 0;
};

class Root {
 public:
  // Makes an empty memory-backed root ours and detaches the host's: from here on no file of the host can be named.
  static Result<Root> enter(const RootLimits& limits);
  int folder() const { return root_.get(); }
  // Mounts /proc, /dev, /tmp and /opt/ml over the unpacked image, makes the root read-only, answers the folder /opt/ml.
  Result<Fd> finish();

 private:
  Root() = default;
  Status make_mount_points();
  Status mount_devices();
  Status mask_proc();
  Fd root_, proc_, work_, temporary_;
  Fd devices_[4];
};

// Where the sandbox's /proc is covered: a file by /dev/null, a folder by an empty one.
inline constexpr const char* kMaskedFiles[] = {"/proc/kcore",    "/proc/keys",       "/proc/key-users",
                                               "/proc/kallsyms", "/proc/timer_list", "/proc/sysrq-trigger",
                                               "/proc/kmsg",     "/proc/cmdline"};
inline constexpr const char* kMaskedFolders[] = {"/proc/acpi", "/proc/bus",  "/proc/fs",
                                                 "/proc/irq",  "/proc/scsi", "/proc/driver"};
inline constexpr const char* kDevices[] = {"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"};

}  // namespace redoubt::sandbox
