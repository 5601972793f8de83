// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "packages/records.h"
#include "packages/root_files.h"
#include "packages/trimmed.h"

namespace redoubt::packages {
namespace {

using Fields = std::map<std::string, std::string, std::less<>>;

// The next paragraph of a deb822 text; the first line alone of a field that goes on.
Fields next_paragraph(std::string_view& text) {
  Fields fields;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (trimmed(line).empty()) {
      if (fields.empty()) continue;
      break;
    }
    const auto colon = line.find(':');
    if (line[0] == ' ' || line[0] == '\t' || colon == line.npos) continue;
    fields.emplace(line.substr(0, colon), trimmed(line.substr(colon + 1)));
  }
  return fields;
}

std::string field(const Fields& fields, std::string_view name) {
  const auto found = fields.find(name);
  return found == fields.end() ? "" : found->second;
}

// "Source: glibc" or "Source: gcc-defaults (1.203)" (Debian policy, 5.6.1): left out where name and version are the binary's.
void read_debian_source(const std::string& source, Package& package) {
  package.source = package.name;
  package.source_version = package.version;
  if (source.empty()) return;
  package.source = source.substr(0, source.find(' '));
  const auto open = source.find('('), close = source.find(')');
  if (open != source.npos && close != source.npos && close > open) package.source_version = source.substr(open + 1, close - open - 1);
}

// The first of each "a (>= 1) | b, c:any".
void read_debian_needs(const std::string& list, std::vector<std::string>& needs) {
  for (std::string_view rest = list; !rest.empty();) {
    const auto comma = std::min(rest.find(','), rest.size());
    const auto one = trimmed(rest.substr(0, comma));
    const auto name = one.substr(0, one.find_first_of(" (:|["));
    if (!name.empty()) needs.emplace_back(name);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
}

// "install ok installed": whether files of it are there. Distroless' paragraphs have no status.
bool is_installed(const std::string& status) {
  const auto state = std::string_view(status).substr(std::min(status.rfind(' ') + 1, status.size()));
  return state != "config-files" && state != "not-installed";
}

}  // namespace

Result<Packages> read_dpkg_status(std::string_view text, const std::string& place, const Distribution& distribution) {
  Packages packages;
  while (!text.empty()) {
    const Fields fields = next_paragraph(text);
    if (fields.empty()) break;
    if (!is_installed(field(fields, "Status"))) continue;
    Package package{distribution.ecosystem(), field(fields, "Package"), field(fields, "Version"), "", ""};
    if (package.name.empty() || package.version.empty()) {
      return fail(ErrorCode::invalid_argument, "dpkg's database has a package without name or version: " + (package.name.empty() ? "?" : package.name), place,
                  "the file is cut off or damaged; take the image as its maker published it");
    }
    read_debian_source(field(fields, "Source"), package);
    package.architecture = field(fields, "Architecture");
    package.supplier = field(fields, "Maintainer");
    package.homepage = field(fields, "Homepage");
    read_debian_needs(field(fields, "Pre-Depends"), package.needs);
    read_debian_needs(field(fields, "Depends"), package.needs);
    read_debian_needs(field(fields, "Provides"), package.provides);
    std::vector<std::pair<std::string, std::string>> qualifiers = {{"arch", package.architecture}, {"distro", distribution.qualifier()}};
    if (package.source != package.name || package.source_version != package.version) {
      qualifiers.emplace_back("upstream", package.source + (package.source_version == package.version ? "" : "@" + package.source_version));
    }
    package.purl = make_purl("deb", distribution.id.empty() ? "debian" : distribution.id, package.name, package.version, qualifiers);
    package.places = {place};
    packages.push_back(std::move(package));
  }
  return packages;
}

std::string python_records_of(std::string_view list) {
  std::string records;
  while (!list.empty()) {
    const auto end = std::min(list.find('\n'), list.size());
    auto line = trimmed(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
    // "/usr/lib/python3/...", or "<MD5>  usr/lib/python3/..."
    if (!line.starts_with('/')) line.remove_prefix(std::min(line.find("  ") + 2, line.size()));
    while (line.starts_with('/') || line.starts_with("./")) line.remove_prefix(line[0] == '/' ? 1 : 2);
    if (record_kind(std::string(line), false) == RecordKind::python_metadata) records += std::string(line) + "\n";
  }
  return records;
}

std::vector<std::string> read_debian_licences(std::string_view copyright) {
  if (copyright.substr(0, 4096).find("copyright-format") == copyright.npos) return {};
  std::set<std::string> names;
  while (!copyright.empty()) {
    const Fields fields = next_paragraph(copyright);
    const std::string licence = field(fields, "License");
    if (!licence.empty() && licence.size() < 200) names.insert(licence);
  }
  return {names.begin(), names.end()};
}

}  // namespace redoubt::packages
