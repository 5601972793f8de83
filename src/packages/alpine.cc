// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "packages/records.h"
#include "packages/root_files.h"

namespace redoubt::packages {
namespace {

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const auto space = std::min(text.find(' '), text.size());
    if (space > 0) out.emplace_back(text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return out;
}

// "so:libc.musl-x86_64.so.1" and "cmd:sh" name what packages provide; "musl>=1.2" a package.
std::string bare_name(const std::string& need) { return need.substr(0, need.find_first_of("<>=~")); }

struct Record {
  Package package;
  std::vector<std::string> provides, needs;
  std::string folder;  // of the files that are named next
};

// Needs by what is provided become needs of the packages that do.
void resolve_needs(std::vector<Record>& records) {
  std::map<std::string, std::string> providers;
  for (const auto& record : records) {
    providers.emplace(record.package.name, record.package.name);
    for (const auto& provided : record.provides) providers.emplace(bare_name(provided), record.package.name);
  }
  for (auto& record : records) {
    for (const auto& need : record.needs) {
      const auto found = providers.find(bare_name(need));
      if (found == providers.end() || found->second == record.package.name) continue;
      auto& needs = record.package.needs;
      if (std::find(needs.begin(), needs.end(), found->second) == needs.end()) needs.push_back(found->second);
    }
  }
}

void read_line(char key, std::string_view value, Record& record) {
  Package& package = record.package;
  switch (key) {
    case 'P': package.name = value; break;
    case 'V': package.version = value; break;
    case 'A': package.architecture = value; break;
    case 'o': package.source = value; break;
    case 'L': package.licences = {std::string(value)}; break;
    case 'U': package.homepage = value; break;
    case 'm': package.supplier = value; break;
    case 'D': record.needs = words(value); break;
    case 'p': record.provides = words(value); break;
    case 'F': record.folder = value; break;
    case 'R': {
      std::string path = record.folder + "/" + std::string(value);
      if (record_kind(path, false) == RecordKind::python_metadata) package.python_records.push_back(std::move(path));
      break;
    }
    default: break;
  }
}

Status finish(Record record, const std::string& place, const Distribution& distribution, std::vector<Record>& records) {
  Package& package = record.package;
  if (package.name.empty() || package.version.empty()) {
    return fail(ErrorCode::invalid_argument, "apk's database has a package without name or version: " + (package.name.empty() ? "?" : package.name), place,
                "the file is cut off or damaged; take the image as its maker published it");
  }
  if (package.source.empty()) package.source = package.name;
  package.source_version = package.version;
  package.ecosystem = distribution.ecosystem();
  package.purl = make_purl("apk", distribution.id.empty() ? "alpine" : distribution.id, package.name, package.version,
                           {{"arch", package.architecture}, {"distro", distribution.qualifier()}, {"upstream", package.source == package.name ? "" : package.source}});
  package.places = {place};
  records.push_back(std::move(record));
  return {};
}

}  // namespace

Result<Packages> read_apk_installed(std::string_view text, const std::string& place, const Distribution& distribution) {
  std::vector<Record> records;
  Record record;
  bool open = false;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) {
      if (open) TRY(finish(std::exchange(record, {}), place, distribution, records));
      open = false;
      continue;
    }
    if (line.size() < 2 || line[1] != ':') return fail(ErrorCode::invalid_argument, "a line of apk's database is no 'X:value'", place, "the file is damaged");
    open = true;
    read_line(line[0], line.substr(2), record);
  }
  if (open) TRY(finish(std::move(record), place, distribution, records));
  resolve_needs(records);
  Packages packages;
  for (auto& each : records) packages.push_back(std::move(each.package));
  return packages;
}

}  // namespace redoubt::packages
