// SPDX-License-Identifier: Apache-2.0
//
// How the parent and the sandbox's own processes find each other.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

namespace redoubt::sandbox {

inline constexpr const char* kInitName = "redoubt-sandbox-init";
inline constexpr int kChannelFd = 3;
inline constexpr int kLifelineFd = 4;

inline int pidfd_of(pid_t process) { return static_cast<int>(syscall(SYS_pidfd_open, process, 0)); }

// Named by the launcher so that the linker keeps init.cc, whose constructor is its entry.
void keep_init();

}  // namespace redoubt::sandbox
