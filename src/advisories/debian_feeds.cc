// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <map>
#include <set>

#include "advisories/archive_entries.h"
#include "advisories/feeds.h"
#include "base/file.h"
#include "base/lower_case.h"
#include "packages/version_order.h"

namespace redoubt::advisories {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kListBytesMax = 512 << 20, kTrackerBytesMax = 1 << 30;

// "Date: Sat, 21 Nov 2026 00:53:02 UTC" of a Release file.
Result<TimePoint> release_date(const fs::path& file) {
  const std::string text = TRY(read_text_file(file, 16 << 20));
  const auto at = text.find("\nDate: ");
  int day = 0, year = 0, hour = 0, minute = 0, second = 0;
  char month[4] = {};
  if (at == text.npos || std::sscanf(text.c_str() + at + 7, "%*3s, %d %3s %d %d:%d:%d UTC", &day, month, &year, &hour, &minute, &second) != 6) {
    return fail(ErrorCode::invalid_argument, "the release file has no date", file.string());
  }
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const auto number = kMonths.find(month);
  if (number == kMonths.npos) return fail(ErrorCode::invalid_argument, "the release file has no date", file.string());
  return parse_rfc3339(fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", year, number / 3 + 1, day, hour, minute, second));
}

// "deb.debian.org_debian-security_dists_bookworm-security_main_binary-amd64_Packages" -> "bookworm-security".
std::string suite_of_list(const std::string& name) {
  const auto at = name.find("_dists_");
  if (at == name.npos) return "";
  const auto rest = name.substr(at + 7);
  return rest.substr(0, rest.find('_'));
}

using Newest = std::map<std::string, std::string>;  // key, version

void add_suite_packages(const std::string& list, const std::string& ecosystem, Newest& newest, std::uint64_t& records) {
  std::string name;
  for (std::size_t from = 0; from < list.size();) {
    const auto end = std::min(list.find('\n', from), list.size());
    const auto line = std::string_view(list).substr(from, end - from);
    if (line.starts_with("Package: ")) name = line.substr(9);
    if (line.starts_with("Version: ") && !name.empty()) {
      ++records;
      std::string& version = newest[ecosystem + "/" + name];
      if (version.empty() || packages::compare_debian_versions(version, line.substr(9)) < 0) version = line.substr(9);
    }
    from = end + 1;
  }
}

std::string_view text_at(const simdjson::dom::object& object, std::string_view key) {
  std::string_view text;
  return object.at_key(key).get(text) == simdjson::SUCCESS ? text : std::string_view();
}

// One release's word about one CVE of one source package.
void add_release(std::string_view package, std::string_view id, std::string_view release, const simdjson::dom::object& about, ReadFeed& read, std::set<std::string>& ecosystems) {
  const std::string ecosystem = ecosystem_of_suite(std::string(release));
  if (ecosystem == "Debian") return;  // sid and experimental are no releases
  ecosystems.insert(ecosystem);
  const auto status = text_at(about, "status"), fixed = text_at(about, "fixed_version"), urgency = text_at(about, "urgency");
  if (status == "resolved" && fixed == "0") return;  // never had it
  Advisory advisory{std::string(id), ecosystem, std::string(package), {{"0", status == "resolved" ? std::string(fixed) : "", ""}}};
  const bool is_minor = urgency.starts_with("low") || urgency == "unimportant" || status == "undetermined";
  advisory.severity = is_minor ? "low" : urgency.starts_with("medium") ? "medium" : "high";
  read.index.add(advisory);
}

}  // namespace

std::string ecosystem_of_suite(const std::string& suite) {
  packages::Distribution distribution{"debian", "", suite.substr(0, suite.find_first_of("-/")), ""};
  return distribution.ecosystem();
}

bool is_security_list(const std::string& name) { return lower_case(name).find("security") != name.npos && (name.ends_with("Release") || name.find("_Packages") != name.npos); }

Result<ReadFeed> read_apt_security(const fs::path& lists) {
  ReadFeed read{{kAptFeed, TimePoint::max(), 0}, {}};
  Newest newest;
  std::set<std::string> ecosystems;
  for (const auto& name : TRY(list_folder(lists))) {
    if (!is_security_list(name)) continue;
    if (name.ends_with("Release")) read.feed.dated = std::min(read.feed.dated, TRY(release_date(lists / name)));
    if (name.find("_Packages") == name.npos) continue;
    const std::string ecosystem = ecosystem_of_suite(suite_of_list(name));
    ecosystems.insert(ecosystem);
    add_suite_packages(TRY(read_compressed(lists / name, kListBytesMax)), ecosystem, newest, read.feed.records);
  }
  if (read.feed.records == 0 || read.feed.dated == TimePoint::max()) {
    return fail(ErrorCode::not_found, "this machine has no package lists of Debian's security suite", lists.string(), "run 'apt-get update', then try again");
  }
  for (const auto& [key, version] : newest) read.index.add(kAptPrefix + key, version);
  read.feed.ecosystems.assign(ecosystems.begin(), ecosystems.end());
  return read;
}

Result<ReadFeed> read_debian_tracker(const fs::path& file, TimePoint dated) {
  namespace dom = simdjson::dom;
  const auto broken = [&](const std::string& what) { return fail(ErrorCode::invalid_argument, "not the JSON of Debian's security tracker: " + what, file.string()); };
  std::string text = TRY(read_compressed(file, kTrackerBytesMax));
  text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  dom::parser parser(kTrackerBytesMax);
  dom::object packages;
  if (const auto error = parser.parse(text.data(), text.size(), false).get(packages); error != simdjson::SUCCESS) return broken(simdjson::error_message(error));
  ReadFeed read{{kTrackerFeed, dated, 0}, {}};
  std::set<std::string> ecosystems;
  for (const auto package : packages) {
    dom::object issues;
    if (package.value.get(issues) != simdjson::SUCCESS) return broken("a package that is no object");
    for (const auto issue : issues) {
      dom::object about, releases;
      if (issue.value.get(about) != simdjson::SUCCESS || about.at_key("releases").get(releases) != simdjson::SUCCESS) return broken("an issue without releases: " + std::string(issue.key));
      ++read.feed.records;
      for (const auto release : releases) {
        dom::object state;
        if (release.value.get(state) != simdjson::SUCCESS || text_at(state, "status").empty()) return broken("a release without a status: " + std::string(issue.key));
        add_release(package.key, issue.key, release.key, state, read, ecosystems);
      }
    }
  }
  if (read.feed.records == 0) return fail(ErrorCode::not_found, "no issue in this feed", file.string());
  read.feed.ecosystems.assign(ecosystems.begin(), ecosystems.end());
  return read;
}

}  // namespace redoubt::advisories
