// SPDX-License-Identifier: Apache-2.0
//
// Records of installed packages out of the text or bytes that hold them. `place` is the file in the image; what is cut off or malformed is
// invalid_argument that names it, never fewer packages.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "packages/package.h"

namespace redoubt::packages {

using Packages = std::vector<Package>;

// dpkg's status (deb-control(5)); what was removed and left only its configuration is no package.
Result<Packages> read_dpkg_status(std::string_view text, const std::string& place, const Distribution& distribution);
// Names of licences out of a Debian copyright file in the machine-readable form (DEP 5); empty for another.
std::vector<std::string> read_debian_licences(std::string_view copyright);

// Which of a package's files are records of Python packages: relative paths, one a line, out of dpkg's info/NAME.list or distroless' status.d/NAME.md5sums.
std::string python_records_of(std::string_view list);

// apk's lib/apk/db/installed.
Result<Packages> read_apk_installed(std::string_view text, const std::string& place, const Distribution& distribution);

// RPM's database: SQLite (with what its write-ahead log holds), "ndb", or Berkeley DB's hash format.
Result<Packages> read_rpm_sqlite(ByteView database, ByteView write_ahead_log, const std::string& place, const Distribution& distribution);
Result<Packages> read_rpm_ndb(ByteView database, const std::string& place, const Distribution& distribution);
Result<Packages> read_rpm_berkeley(ByteView database, const std::string& place, const Distribution& distribution);

// A METADATA or PKG-INFO file (PyPA core metadata).
Result<Package> read_python_metadata(std::string_view text, const std::string& place);

// package.json; not_found where it names no package (a part of one has such files too).
Result<Package> read_npm_package(std::string_view text, const std::string& place);
// package-lock.json, versions 1 to 3; yarn.lock, version 1.
Result<Packages> read_npm_lock(std::string_view text, const std::string& place);
Result<Packages> read_yarn_lock(std::string_view text, const std::string& place);

// RubyGems' specifications/NAME-VERSION.gemspec.
Result<Package> read_gemspec(std::string_view text, const std::string& place);

// The packages that an ELF program tells of: Go's build information (of every release, by pointers before 1.18), the audit section of
// `cargo auditable`. Empty for another file; unsupported where it has such data in a form that is not known.
Result<Packages> read_program(ByteView program, const std::string& place);

// A .jar, .war or .ear and what is nested in it.
Result<Packages> read_java_archive(ByteView archive, const std::string& place);

}  // namespace redoubt::packages
