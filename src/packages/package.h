// SPDX-License-Identifier: Apache-2.0
//
// A package as an image's own records tell of it, and the names that others know it by.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace redoubt::packages {

struct Package {
  std::string ecosystem;  // "Debian:12", "PyPI", "npm", as OSV names them; "" for what no ecosystem has
  std::string name, version;
  std::string source, source_version;  // of a distribution: the source package, whose version need not be the binary's; "" for others
  std::vector<std::pair<std::string, Digest>> files = {};  // name in the image, SHA-256
  std::string purl = {};                                   // package URL; "" where purl_of makes it of the above
  std::string architecture = {}, supplier = {}, homepage = {};
  std::vector<std::string> licences = {};  // as the package words them
  std::vector<std::string> places = {};    // the records that tell of it: "var/lib/dpkg/status"
  std::vector<std::string> needs = {};     // names of packages that it depends on, as its record has them
  std::vector<std::pair<std::string, std::string>> hashes = {};  // "SHA-512", hexadecimal; of what it was installed from
  // The distribution's package that put it there ("python3-requests"): its maker patches it under a version that looks old, so only the distribution's
  // advisories say what is wrong with it. "" for what nobody but its own record knows of.
  std::string owner = {};
  std::vector<std::string> provides = {};        // names besides its own that what others need may mean: "libc.so.6(GLIBC_2.34)(64bit)"
  std::vector<std::string> python_records = {};  // of an RPM's or apk's files those that are records of Python packages, below the root

  bool operator==(const Package&) const = default;
};

// A record that could not be read, though the image goes on: a package may be missing from the list.
struct PackageProblem {
  std::string place, detail;
  bool operator==(const PackageProblem&) const = default;
};

struct Inventory {
  std::vector<Package> packages;         // sorted by ecosystem, name, version; each once
  std::vector<PackageProblem> problems;  // never of a distribution's database: that is an error of the whole
};

// What os-release(5) says, for the distribution's packages.
struct Distribution {
  std::string id, version, codename, name;  // "debian", "12", "bookworm", "Debian GNU/Linux 12 (bookworm)"
  bool operator==(const Distribution&) const = default;

  // The OSV ecosystem of its packages ("Debian:12", "Ubuntu:22.04:LTS", "Alpine:v3.18", "Rocky Linux:9"). One that OSV does not know keeps its own name, so that
  // nobody takes it for one without advisories.
  std::string ecosystem() const;
  // For a package URL: "debian-12".
  std::string qualifier() const;
};
// invalid_argument for a text without ID.
Result<Distribution> parse_os_release(std::string_view text, std::string_view where);

// Parts of a package URL are escaped as its specification has it: all but letters, digits and ".-_~:".
std::string escape_purl(std::string_view text);
// "pkg:<type>/<namespace>/<name>@<version>?<qualifiers>"; namespace and qualifiers may be empty, the namespace's '/' stay.
std::string make_purl(std::string_view type, std::string_view name_space, std::string_view name, std::string_view version,
                      const std::vector<std::pair<std::string, std::string>>& qualifiers = {});
std::string purl_of(const Package& package);

// PEP 503: one name however it is written.
std::string python_name(std::string_view name);

// Sorts, and makes one of packages that differ in nothing but where they were found.
void tidy(Inventory& inventory);

}  // namespace redoubt::packages
