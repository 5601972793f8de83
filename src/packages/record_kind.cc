// SPDX-License-Identifier: Apache-2.0
#include "packages/root_files.h"

namespace redoubt::packages {
namespace {

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }
std::string_view folder_of(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == path.npos ? std::string_view() : path.substr(0, slash);
}

std::optional<RecordKind> database_kind(std::string_view path, std::string_view name) {
  const auto folder = folder_of(path);
  if (path == "etc/os-release" || path == "usr/lib/os-release") return RecordKind::os_release;
  if (path == "var/lib/dpkg/status") return RecordKind::dpkg_status;
  if (folder == "var/lib/dpkg/info") return name.ends_with(".list") ? std::optional(RecordKind::dpkg_files) : std::nullopt;
  if (folder == "var/lib/dpkg/status.d" && name.ends_with(".md5sums")) return RecordKind::dpkg_files;
  if (folder == "var/lib/dpkg/status.d") return name.starts_with('.') ? std::nullopt : std::optional(RecordKind::dpkg_part);
  if (path == "lib/apk/db/installed" || path == "usr/lib/apk/db/installed") return RecordKind::apk_installed;
  if (folder == "var/lib/rpm" || folder == "usr/lib/sysimage/rpm" || folder == "usr/share/rpm") {
    if (name == "rpmdb.sqlite") return RecordKind::rpm_sqlite;
    if (name == "rpmdb.sqlite-wal") return RecordKind::rpm_write_ahead_log;
    if (name == "Packages.db") return RecordKind::rpm_ndb;
    if (name == "Packages") return RecordKind::rpm_berkeley;
  }
  if (name == "copyright" && folder_of(folder) == "usr/share/doc") return RecordKind::copyright;
  return std::nullopt;
}

std::optional<RecordKind> language_kind(std::string_view path, std::string_view name) {
  const auto folder = folder_of(path);
  if (name == "METADATA" && folder.ends_with(".dist-info")) return RecordKind::python_metadata;
  if (name == "PKG-INFO" && (folder.ends_with(".egg-info") || base_name(folder) == "EGG-INFO")) return RecordKind::python_metadata;
  if (name.ends_with(".egg-info")) return RecordKind::python_metadata;
  if (name == "package.json") return RecordKind::npm_package;
  if (name == "package-lock.json" || name == "npm-shrinkwrap.json" || name == ".package-lock.json") return RecordKind::npm_lock;
  if (name == "yarn.lock") return RecordKind::yarn_lock;
  if (name.ends_with(".gemspec") && base_name(folder) == "specifications") return RecordKind::gemspec;
  if (name.ends_with(".gemspec") && base_name(folder) == "default" && base_name(folder_of(folder)) == "specifications") return RecordKind::gemspec;
  for (const char* end : {".jar", ".war", ".ear", ".par", ".sar", ".nar", ".jpi", ".hpi"}) {
    if (name.ends_with(end)) return RecordKind::java_archive;
  }
  return std::nullopt;
}

}  // namespace

std::optional<RecordKind> record_kind(const std::string& path, bool is_executable) {
  const auto name = base_name(path);
  if (const auto kind = database_kind(path, name)) return kind;
  if (const auto kind = language_kind(path, name)) return kind;
  if (is_executable || name.find(".so") != name.npos) return RecordKind::program;
  return std::nullopt;
}

}  // namespace redoubt::packages
