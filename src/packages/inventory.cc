// SPDX-License-Identifier: Apache-2.0
//
// The records of a root, each by its reader, and what they say together.
#include <algorithm>
#include <set>

#include "packages/records.h"
#include "packages/root_files.h"

namespace redoubt::packages {
namespace {

std::string lock_file_folder(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == path.npos ? "" : path.substr(0, slash);
}

bool is_package_root(const std::string& place) {
  // "node_modules/name/package.json" or "node_modules/@scope/name/package.json": what stands deeper is a part or a test of a package.
  const auto at = place.rfind("node_modules/");
  if (at == place.npos) return false;
  const auto rest = place.substr(at + 13);
  return std::count(rest.begin(), rest.end(), '/') == (rest.starts_with('@') ? 2 : 1);
}

struct Reading {
  Distribution distribution;
  Inventory inventory;
  std::set<std::string> databases;  // "dpkg", "apk", "rpm": those found

  void add(Packages packages) {
    for (auto& package : packages) inventory.packages.push_back(std::move(package));
  }
  // Of one package among many: a problem, not an error.
  void add(Result<Package> package, const std::string& place) {
    if (package) {
      inventory.packages.push_back(std::move(*package));
    } else {
      inventory.problems.push_back({place, package.error().message});
    }
  }
};

Status read_rpm(RecordKind kind, const std::string& place, const std::string& text, const std::string& log, Reading& reading) {
  reading.databases.insert("rpm");
  const ByteView bytes = view_of(text);
  if (kind == RecordKind::rpm_sqlite) {
    reading.add(TRY(read_rpm_sqlite(bytes, view_of(log), place, reading.distribution)));
  } else if (kind == RecordKind::rpm_ndb) {
    reading.add(TRY(read_rpm_ndb(bytes, place, reading.distribution)));
  } else {
    reading.add(TRY(read_rpm_berkeley(bytes, place, reading.distribution)));
  }
  return {};
}

Status read_database(RecordKind kind, const std::string& place, const std::string& text, Reading& reading) {
  if (kind == RecordKind::apk_installed) {
    reading.databases.insert("apk");
    reading.add(TRY(read_apk_installed(text, place, reading.distribution)));
  } else {
    auto packages = TRY(read_dpkg_status(text, place, reading.distribution));
    // Distroless images have an empty status beside their parts.
    if (!packages.empty()) reading.databases.insert("dpkg");
    reading.add(std::move(packages));
  }
  return {};
}

void read_language(RecordKind kind, const std::string& place, const std::string& text, Reading& reading) {
  const auto add_all = [&](Result<Packages> packages) {
    if (packages) {
      reading.add(std::move(*packages));
    } else {
      reading.inventory.problems.push_back({place, packages.error().message});
    }
  };
  if (kind == RecordKind::python_metadata) reading.add(read_python_metadata(text, place), place);
  if (kind == RecordKind::gemspec) reading.add(read_gemspec(text, place), place);
  if (kind == RecordKind::npm_lock) add_all(read_npm_lock(text, place));
  if (kind == RecordKind::yarn_lock) add_all(read_yarn_lock(text, place));
  if (kind == RecordKind::npm_package) {
    auto package = read_npm_package(text, place);
    if (package || is_package_root(place)) reading.add(std::move(package), place);
  }
}

// A distribution whose list of packages is not there is not one without packages.
void check_databases(Reading& reading) {
  const auto& id = reading.distribution.id;
  const auto expect = [&](const char* database, std::initializer_list<std::string_view> ids) {
    if (std::find(ids.begin(), ids.end(), id) != ids.end() && !reading.databases.contains(database)) {
      reading.inventory.problems.push_back({"etc/os-release", "the image says that it is " + id + ", but has no packages in a database of " + database});
    }
  };
  expect("dpkg", {"debian", "ubuntu"});
  expect("apk", {"alpine", "wolfi", "chainguard"});
  expect("rpm", {"rhel", "rocky", "almalinux", "centos", "fedora", "sles", "opensuse-leap", "opensuse-tumbleweed", "mageia", "openEuler", "amzn", "ol", "photon", "azurelinux", "mariner"});
}

}  // namespace

// What is installed beside a lock file says more than what was asked for; npm's own list lies within.
bool RootFiles::counts(const std::string& path, RecordKind kind) const {
  if (kind != RecordKind::npm_lock && kind != RecordKind::yarn_lock) return kind != RecordKind::os_release && kind != RecordKind::rpm_write_ahead_log;
  if (path.find("node_modules/") != path.npos) return false;
  const std::string folder = lock_file_folder(path), installed = folder.empty() ? "node_modules/" : folder + "/node_modules/";
  const auto at = entries_.lower_bound(installed);
  return at == entries_.end() || !at->first.starts_with(installed);
}

// What a link stands for is read under its own name. One whose name makes it a record and whose target's does not was not read at all.
std::optional<PackageProblem> RootFiles::unread_link(const std::string& path) const {
  const auto kind = record_kind(path, false);
  if (!kind || *kind == RecordKind::program || *kind == RecordKind::os_release || *kind == RecordKind::copyright || *kind == RecordKind::dpkg_files) return std::nullopt;
  const Entry* target = find(path);
  if (target != nullptr && target->kind == kind) return std::nullopt;
  return PackageProblem{path, "a record of packages that is a link to nothing, or to a file of another name"};
}

// Python packages whose record an installed package of the distribution has among its files. By the path alone: another version lies in a folder of another name.
void RootFiles::name_owners(Inventory& inventory) const {
  std::set<std::string> installed;
  for (const auto& package : inventory.packages) {
    if (package.purl.starts_with("pkg:deb/")) installed.insert(package.name);
  }
  std::map<std::string, std::string> owners;
  for (const auto& [path, entry] : entries_) {
    if (entry.kind != RecordKind::dpkg_files || !entry.text) continue;
    const std::string file = path.substr(path.rfind('/') + 1);
    const std::string name = file.substr(0, std::min(file.find(':'), file.rfind('.')));  // "python3-yaml:amd64.list"
    if (!installed.contains(name)) continue;
    for (std::string_view rest = *entry.text; !rest.empty();) {
      const auto end = rest.find('\n');
      if (const auto real = resolve(std::string(rest.substr(0, end)))) owners.emplace(*real, name);
      rest.remove_prefix(end + 1);
    }
  }
  for (const auto& package : inventory.packages) {
    for (const auto& record : package.python_records) {
      if (const auto real = resolve(record)) owners.emplace(*real, package.name);
    }
  }
  for (auto& package : inventory.packages) {
    if (package.ecosystem != "PyPI" || package.places.size() != 1) continue;
    if (const auto found = owners.find(package.places.front()); found != owners.end()) package.owner = found->second;
  }
}

Result<Inventory> RootFiles::inventory(Distribution& distribution) const {
  Reading reading;
  for (const char* place : {"etc/os-release", "usr/lib/os-release"}) {
    const Entry* found = find(place);
    if (found == nullptr || !found->text) continue;
    reading.distribution = TRY(parse_os_release(*found->text, place));
    break;
  }
  std::map<std::string, std::vector<std::string>> licences;  // of a Debian package
  for (const auto& [path, entry] : entries_) {
    if (!entry.kind) {
      if (auto problem = unread_link(path)) reading.inventory.problems.push_back(std::move(*problem));
      continue;
    }
    if (entry.packages) {
      reading.add(entry.packages->packages);
      for (const auto& problem : entry.packages->problems) reading.inventory.problems.push_back(problem);
    }
    if (!entry.text) continue;
    const std::string& text = *entry.text;
    if (*entry.kind == RecordKind::copyright) {
      licences[path.substr(14, path.size() - 24)] = read_debian_licences(text);
    } else if (*entry.kind == RecordKind::rpm_sqlite || *entry.kind == RecordKind::rpm_ndb || *entry.kind == RecordKind::rpm_berkeley) {
      const auto log = entries_.find(path + "-wal");
      TRY(read_rpm(*entry.kind, path, text, log != entries_.end() && log->second.text ? *log->second.text : "", reading));
    } else if (*entry.kind == RecordKind::dpkg_status || *entry.kind == RecordKind::dpkg_part || *entry.kind == RecordKind::apk_installed) {
      TRY(read_database(*entry.kind, path, text, reading));
    } else if (counts(path, *entry.kind)) {
      read_language(*entry.kind, path, text, reading);
    }
  }
  check_databases(reading);
  for (auto& package : reading.inventory.packages) {
    const auto found = package.purl.starts_with("pkg:deb/") ? licences.find(package.name) : licences.end();
    if (found != licences.end()) package.licences = found->second;
  }
  name_owners(reading.inventory);
  tidy(reading.inventory);
  distribution = reading.distribution;
  return std::move(reading.inventory);
}

}  // namespace redoubt::packages
