// SPDX-License-Identifier: Apache-2.0
#include "sandbox/root.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace redoubt::sandbox {
namespace {

constexpr unsigned kBare = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;

tl::unexpected<Error> cannot(const char* doing, const std::string& where) {
  const int number = errno;
  return fail(ErrorCode::unsupported, std::string("the sandbox can't ") + doing + ": " + strerrordesc_np(number), where,
              "this machine or container must allow user namespaces and mounts inside them");
}

Result<Fd> make_mount(const char* type, std::vector<std::pair<const char*, std::string>> settings, unsigned attributes) {
  const Fd context(fsopen(type, FSOPEN_CLOEXEC));
  if (!context) return cannot("make a file system", type);
  for (const auto& [key, value] : settings) {
    if (fsconfig(context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) != 0) return cannot("set a mount option", key);
  }
  if (fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return cannot("make a file system", type);
  Fd mount(fsmount(context.get(), FSMOUNT_CLOEXEC, attributes));
  if (!mount) return cannot("mount", type);
  return mount;
}

Result<Fd> make_tmpfs(std::uint64_t bytes_max, std::uint64_t entries_max, unsigned attributes) {
  return make_mount("tmpfs",
                    {{"size", std::to_string(bytes_max)}, {"nr_inodes", std::to_string(entries_max)}, {"mode", "0755"}},
                    attributes);
}

// The place must be what its name says: an image that has a link there would move our mount.
Status attach(const Fd& mount, const char* path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  const Fd place(static_cast<int>(syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how)));
  if (!place) return cannot("find the place of a mount (the image must not have a link there)", path);
  if (move_mount(mount.get(), "", place.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return cannot("attach a mount", path);
  }
  return {};
}

Status make_read_only(const char* path) {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY | kBare;
  if (mount_setattr(AT_FDCWD, path, 0, &attributes, sizeof attributes) != 0) return cannot("make a mount read-only", path);
  return {};
}

Status make_text(const std::string& path, const std::string& text) {
  const Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0444));
  if (!file || write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return cannot("write a file of its root", path);
  }
  return {};
}

}  // namespace

Result<Root> Root::enter(const RootLimits& limits) {
  Root root;
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return cannot("make its mounts private", "/");
  root.root_ = TRY(make_tmpfs(limits.root_bytes_max, limits.root_entries_max + 64, kBare));
  root.work_ = TRY(make_tmpfs(limits.work_bytes_max, limits.work_files_max + 64, kBare | MOUNT_ATTR_NOEXEC));
  root.temporary_ = TRY(make_tmpfs(limits.temporary_bytes_max, 4096, kBare | MOUNT_ATTR_NOEXEC));
  // Here, because the kernel gives a new /proc only to who still sees the old one whole.
  root.proc_ = TRY(make_mount("proc", {{"hidepid", "2"}}, kBare | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY));
  for (std::size_t i = 0; i < std::size(kDevices); ++i) {
    root.devices_[i] = Fd(open_tree(AT_FDCWD, kDevices[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (!root.devices_[i]) return cannot("take a device", kDevices[i]);
  }
  if (move_mount(root.root_.get(), "", AT_FDCWD, "/tmp", MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return cannot("attach its root", "/tmp");
  // pivot_root(".", ".") stacks the old root on the new one; detaching it leaves only ours.
  if (fchdir(root.root_.get()) != 0 || syscall(SYS_pivot_root, ".", ".") != 0) return cannot("change its root", "/");
  if (umount2(".", MNT_DETACH) != 0 || chdir("/") != 0) return cannot("leave the host's root", "/");
  return root;
}

Status Root::make_mount_points() {
  for (const char* path : {"/proc", "/dev", "/tmp", "/opt", "/opt/ml", "/sys", "/sys/devices", "/sys/devices/system",
                           "/sys/devices/system/cpu"}) {
    if (mkdir(path, 0755) != 0 && errno != EEXIST) return cannot("make a folder of its root", path);
  }
  // libtorch asks these which processors there are; the real /sys stays outside.
  const std::string processors = "0-" + std::to_string(std::max(1u, std::thread::hardware_concurrency()) - 1) + "\n";
  for (const char* name : {"possible", "present", "online"}) {
    const std::string path = std::string("/sys/devices/system/cpu/") + name;
    unlink(path.c_str());
    TRY(make_text(path, processors));
  }
  return {};
}

Status Root::mount_devices() {
  const Fd devices = TRY(make_tmpfs(1 << 16, 64, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  TRY(attach(devices, "/dev"));
  for (std::size_t i = 0; i < std::size(kDevices); ++i) {
    TRY(make_text(kDevices[i], ""));
    TRY(attach(devices_[i], kDevices[i]));
  }
  return make_read_only("/dev");
}

Status Root::mask_proc() {
  struct stat info {};
  for (const char* path : kMaskedFiles) {
    if (stat(path, &info) != 0) continue;
    const Fd nothing(open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    if (!nothing) return cannot("copy a mount", path);
    TRY(attach(nothing, path));
  }
  for (const char* path : kMaskedFolders) {
    if (stat(path, &info) != 0) continue;
    TRY(attach(TRY(make_tmpfs(4096, 8, kBare | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY)), path));
  }
  return {};
}

Result<Fd> Root::finish() {
  TRY(make_mount_points());
  TRY(attach(proc_, "/proc"));
  TRY(mount_devices());
  TRY(attach(temporary_, "/tmp"));
  TRY(attach(work_, "/opt/ml"));
  TRY(mask_proc());
  TRY(make_read_only("/"));
  Fd folder(openat(work_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return cannot("open its work folder", "/opt/ml");
  return folder;
}

}  // namespace redoubt::sandbox
