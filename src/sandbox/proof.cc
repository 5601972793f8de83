// SPDX-License-Identifier: Apache-2.0
#include "sandbox/proof.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "base/file.h"
#include "sandbox/root.h"

namespace redoubt::sandbox {
namespace {

constexpr const char* kNamespaces[] = {"user", "mnt", "pid", "ipc", "net", "uts", "cgroup"};

tl::unexpected<Error> broken(std::string what) {
  return fail(ErrorCode::unsupported, "the sandbox isn't as promised, nothing was run: " + std::move(what), "sandbox",
              "see docs/sandbox.md for what the machine must allow");
}

std::string folder_of(pid_t process) { return "/proc/" + std::to_string(process); }

Status prove_namespaces(pid_t process) {
  for (const char* name : kNamespaces) {
    struct stat own {
    }, other{};
    const std::string path = folder_of(process) + "/ns/" + name;
    if (stat((std::string("/proc/self/ns/") + name).c_str(), &own) != 0 || stat(path.c_str(), &other) != 0) {
      return broken(std::string("its namespace can't be read: ") + name);
    }
    if (own.st_ino == other.st_ino && own.st_dev == other.st_dev)
      return broken(std::string("it shares our namespace: ") + name);
  }
  return {};
}

Result<std::map<std::string, std::string>> status_of(pid_t process) {
  std::istringstream lines(TRY(read_text_file(folder_of(process) + "/status", 1 << 16)));
  std::map<std::string, std::string> fields;
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(":\t");
    if (colon != line.npos) fields[line.substr(0, colon)] = line.substr(colon + 2);
  }
  return fields;
}

Status prove_powers(pid_t process, unsigned host_user) {
  auto fields = TRY(status_of(process));
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    if (fields[set] != "0000000000000000") return broken(std::string(set) + " is " + fields[set]);
  }
  if (fields["NoNewPrivs"] != "1") return broken("it could gain privileges by exec");
  if (fields["Seccomp"] != "2") return broken("no system call filter");
  const std::string user = std::to_string(host_user);
  const std::string all = user + "\t" + user + "\t" + user + "\t" + user;
  if (fields["Uid"] != all || (host_user != geteuid() && fields["Gid"] != all))
    return broken("another user than the one made");
  return {};
}

bool has_options(const std::string& options, std::initializer_list<const char*> wanted) {
  const std::string list = "," + options + ",";
  return std::all_of(wanted.begin(), wanted.end(),
                     [&](const char* option) { return list.find(std::string(",") + option + ",") != list.npos; });
}

// Every mount is one of ours, with the options that confine it.
Status prove_mounts(pid_t process) {
  std::set<std::string> masks(std::begin(kMaskedFiles), std::end(kMaskedFiles));
  masks.insert(std::begin(kMaskedFolders), std::end(kMaskedFolders));
  const std::set<std::string> devices(std::begin(kDevices), std::end(kDevices));
  std::istringstream lines(TRY(read_text_file(folder_of(process) + "/mountinfo", 1 << 20)));
  std::set<std::string> found;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string id, parent, device, root, point, options;
    words >> id >> parent >> device >> root >> point >> options;
    if (!found.insert(point).second) return broken("two mounts at " + point);
    bool good = devices.contains(point) || masks.contains(point);
    if (point == "/") good = has_options(options, {"ro", "nosuid", "nodev"});
    if (point == "/dev") good = has_options(options, {"ro", "nosuid", "noexec"});
    if (point == "/proc") good = has_options(options, {"ro", "nosuid", "nodev", "noexec"});
    if (point == "/tmp" || point == "/opt/ml") good = has_options(options, {"nosuid", "nodev", "noexec"});
    if (!good) return broken("a mount that it shouldn't have: " + point + " " + options);
  }
  for (const char* point : {"/", "/dev", "/proc", "/tmp", "/opt/ml"}) {
    if (!found.contains(point)) return broken(std::string("no mount at ") + point);
  }
  return {};
}

Status prove_network(pid_t process) {
  std::istringstream lines(TRY(read_text_file(folder_of(process) + "/net/dev", 1 << 16)));
  std::string line;
  std::getline(lines, line), std::getline(lines, line);
  while (std::getline(lines, line)) {
    const std::size_t from = line.find_first_not_of(' ');
    if (from == line.npos || line.substr(from, 3) != "lo:") return broken("a network interface: " + line.substr(0, 32));
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> prove_confinement(pid_t process, unsigned host_user) {
  TRY(prove_namespaces(process));
  TRY(prove_powers(process, host_user));
  TRY(prove_mounts(process));
  TRY(prove_network(process));
  return std::vector<std::string>{"own user, mount, pid, ipc, network, uts and cgroup namespaces",
                                  "no capability in any set, no_new_privs", "system call filter active",
                                  "read-only root, no mount of the host but four devices",
                                  "no network interface but an unconfigured loopback"};
}

}  // namespace redoubt::sandbox
