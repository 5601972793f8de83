// SPDX-License-Identifier: Apache-2.0
#include "stages/image/advisories.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "base/file.h"
#include "base/yaml.h"
#include "stages/image/version_order.h"

namespace redoubt::stages::image {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kRecordBytesMax = 4 << 20, kListBytesMax = 512 << 20;

struct FreeArchive {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Archive = std::unique_ptr<archive, FreeArchive>;

Result<std::string> read_entry(archive* from, std::size_t bytes_max, const std::string& where) {
  std::string out;
  char chunk[64 << 10];
  while (true) {
    const la_ssize_t count = archive_read_data(from, chunk, sizeof chunk);
    if (count < 0) return fail(ErrorCode::invalid_argument, std::string("can't be unpacked: ") + archive_error_string(from), where);
    if (count == 0) return out;
    if (out.size() + static_cast<std::size_t>(count) > bytes_max) return fail(ErrorCode::limit_exceeded, "too large", where);
    out.append(chunk, static_cast<std::size_t>(count));
  }
}

// Calls `visit` for each regular file of an archive; `raw` takes a compressed file that holds no archive.
Status for_each_entry(const fs::path& path, bool raw, std::size_t bytes_max, const std::function<Status(const std::string&, std::string)>& visit) {
  Archive from(archive_read_new());
  archive_read_support_filter_all(from.get());
  if (raw) {
    archive_read_support_format_raw(from.get());
  } else {
    archive_read_support_format_zip(from.get());
    archive_read_support_format_tar(from.get());
  }
  if (archive_read_open_filename(from.get(), path.c_str(), 1 << 20) != ARCHIVE_OK) {
    return fail(ErrorCode::invalid_argument, std::string("can't be read: ") + archive_error_string(from.get()), path.string());
  }
  while (true) {
    archive_entry* entry = nullptr;
    const int code = archive_read_next_header(from.get(), &entry);
    if (code == ARCHIVE_EOF) return {};
    if (code != ARCHIVE_OK) return fail(ErrorCode::invalid_argument, std::string("can't be unpacked: ") + archive_error_string(from.get()), path.string());
    if (!raw && archive_entry_filetype(entry) != AE_IFREG) continue;
    const std::string name = raw ? path.string() : archive_entry_pathname(entry);
    TRY(visit(name, TRY(read_entry(from.get(), bytes_max, path.string() + ":" + name))));
  }
}

Result<std::string> read_list(const fs::path& path) {
  if (path.extension().empty() || path.string().ends_with("Packages")) return read_text_file(path, kListBytesMax);
  std::string out;
  TRY(for_each_entry(path, true, kListBytesMax, [&](const std::string&, std::string text) -> Status {
    out = std::move(text);
    return {};
  }));
  return out;
}

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

void add_suite_packages(const std::string& list, Advisories& into, std::uint64_t& records) {
  std::string name;
  for (std::size_t from = 0; from < list.size();) {
    const auto end = std::min(list.find('\n', from), list.size());
    const auto line = std::string_view(list).substr(from, end - from);
    if (line.starts_with("Package: ")) name = line.substr(9);
    if (line.starts_with("Version: ") && !name.empty()) {
      ++records;
      std::string& newest = into.suite_versions[name];
      if (newest.empty() || compare_debian_versions(newest, line.substr(9)) < 0) newest = line.substr(9);
    }
    from = end + 1;
  }
}

std::string text_of_member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// The score of the best vector given, else the word that the database gives; a record that says neither is taken as high.
void read_severity(const Json& record, const Json& affected, Advisory& advisory) {
  for (const Json* holder : {&affected, &record}) {
    for (const auto& item : holder->value("severity", Json::array())) {
      const auto score = item.is_object() ? cvss3_base_score(text_of_member(item, "score")) : std::nullopt;
      if (score) advisory.cvss = std::max(advisory.cvss, *score);
    }
  }
  if (advisory.cvss > 0) {
    advisory.severity = severity_of_score(advisory.cvss);
    return;
  }
  std::string word;
  for (const Json* holder : {&affected, &record}) {
    for (const char* key : {"database_specific", "ecosystem_specific"}) {
      if (!holder->contains(key) || !(*holder)[key].is_object()) continue;
      // Debian's tracker calls it urgency.
      for (const char* name : {"severity", "urgency"}) {
        if (word.empty()) word = lower(text_of_member((*holder)[key], name));
      }
    }
  }
  if (word == "moderate") word = "medium";
  if (word == "unimportant" || word == "negligible") word = "low";
  advisory.severity = word == "critical" || word == "high" || word == "medium" || word == "low" ? word : "high";
}

struct Event {
  enum Kind { introduced, fixed, last_affected } kind;
  std::string version;
};

// The events of one range in the order of their versions, which the schema does not promise of the file. A version may be both
// the first and the last that is affected.
std::vector<Event> read_events(const Json& range, const std::string& ecosystem) {
  std::vector<Event> events;
  for (const auto& event : range.value("events", Json::array())) {
    if (!event.is_object()) continue;
    for (const auto& [key, kind] : {std::pair{"introduced", Event::introduced}, {"fixed", Event::fixed}, {"last_affected", Event::last_affected}}) {
      if (std::string version = text_of_member(event, key); !version.empty()) events.push_back({kind, std::move(version)});
    }
  }
  std::stable_sort(events.begin(), events.end(), [&](const Event& a, const Event& b) {
    const bool a_is_start = a.version == "0", b_is_start = b.version == "0";
    if (a_is_start || b_is_start) return a_is_start && !b_is_start;
    const int order = compare_versions(ecosystem, a.version, b.version);
    return order != 0 ? order < 0 : a.kind != Event::last_affected && b.kind == Event::last_affected;
  });
  return events;
}

void read_ranges(const Json& affected, Advisory& advisory) {
  for (const auto& range : affected.value("ranges", Json::array())) {
    if (!range.is_object() || text_of_member(range, "type") == "GIT") continue;
    std::optional<AdvisoryRange> open;
    for (auto& event : read_events(range, advisory.ecosystem)) {
      if (event.kind == Event::introduced) {
        if (!open) open = {event.version, "", ""};
        continue;
      }
      if (!open) continue;
      (event.kind == Event::fixed ? open->fixed : open->last_affected) = event.version;
      advisory.ranges.push_back(*std::exchange(open, std::nullopt));
    }
    if (open) advisory.ranges.push_back(*open);
  }
  for (const auto& version : affected.value("versions", Json::array())) {
    if (version.is_string()) advisory.versions.push_back(version.get<std::string>());
  }
}

Status add_record(const Json& record, const std::string& where, Advisories& into, Feed& feed) {
  const std::string id = TRY(json_string(record, "id", where));
  if (const auto modified = parse_rfc3339(text_of_member(record, "modified"))) feed.dated = std::max(feed.dated, *modified);
  ++feed.records;
  if (parse_rfc3339(text_of_member(record, "withdrawn"))) return {};
  for (const auto& affected : record.value("affected", Json::array())) {
    if (!affected.is_object() || !affected.contains("package") || !affected["package"].is_object()) continue;
    Advisory advisory;
    advisory.id = id;
    advisory.ecosystem = text_of_member(affected["package"], "ecosystem");
    advisory.package = text_of_member(affected["package"], "name");
    read_severity(record, affected, advisory);
    read_ranges(affected, advisory);
    into.by_package.emplace(package_key(advisory.ecosystem, advisory.package), std::move(advisory));
  }
  return {};
}

Status add_file(const std::string& name, const std::string& text, Advisories& into, Feed& feed) {
  if (name.ends_with(".json")) return add_record(TRY(parse_json(text, name, {.bytes_max = kRecordBytesMax})), name, into, feed);
  if (name.ends_with(".yaml") || name.ends_with(".yml")) return add_record(TRY(parse_yaml(text, name)).value, name, into, feed);
  return {};
}

}  // namespace

std::string package_key(const std::string& ecosystem, std::string name) {
  if (ecosystem == "PyPI") {
    name = lower(std::move(name));
    std::replace(name.begin(), name.end(), '_', '-');
    std::replace(name.begin(), name.end(), '.', '-');
  }
  return ecosystem + "/" + name;
}

bool is_security_list(const std::string& name) {
  return lower(name).find("security") != name.npos && (name.ends_with("Release") || name.find("_Packages") != name.npos);
}

Status read_apt_security(const fs::path& lists, Advisories& into) {
  Feed feed{kAptFeed, TimePoint::max(), 0};
  for (const auto& name : TRY(list_folder(lists))) {
    if (!is_security_list(name)) continue;
    if (name.ends_with("Release")) feed.dated = std::min(feed.dated, TRY(release_date(lists / name)));
    if (name.find("_Packages") != name.npos) add_suite_packages(TRY(read_list(lists / name)), into, feed.records);
  }
  if (feed.records == 0 || feed.dated == TimePoint::max()) {
    return fail(ErrorCode::not_found, "this machine has no package lists of Debian's security suite", lists.string(), "run 'apt-get update', then try again");
  }
  into.feeds.push_back(std::move(feed));
  return {};
}

Status read_osv(const fs::path& path, Advisories& into) {
  Feed feed{"OSV " + path.filename().string(), TimePoint{}, 0};
  std::error_code error;
  if (!fs::exists(path, error)) return fail(ErrorCode::not_found, "no such feed", path.string(), "name a folder or an archive of OSV records in JSON or YAML");
  if (fs::is_directory(path, error)) {
    for (const auto& name : TRY(list_files(path))) TRY(add_file(name, TRY(read_text_file(path / name, kRecordBytesMax)), into, feed));
  } else {
    TRY(for_each_entry(path, false, kRecordBytesMax, [&](const std::string& name, std::string text) { return add_file(name, text, into, feed); }));
  }
  if (feed.records == 0) return fail(ErrorCode::not_found, "no OSV record in this feed", path.string(), "name a folder or an archive of OSV records in JSON or YAML");
  into.feeds.push_back(std::move(feed));
  return {};
}

Status check_age(const Advisories& advisories, int days_max, TimePoint now) {
  if (advisories.feeds.empty()) {
    return fail(ErrorCode::not_found, "no advisory feed is configured", "image.apt_security, image.osv", "without a feed nothing is known to be safe; configure one");
  }
  for (const auto& feed : advisories.feeds) {
    if (now - feed.dated > std::chrono::days(days_max) || feed.dated - now > std::chrono::days(1)) {
      return fail(ErrorCode::gate_refused, fmt::format("the feed is dated {}, more than {} days from now", to_rfc3339(feed.dated), days_max), feed.name,
                  "bring it up to date ('apt-get update' for the security suite), then scan again");
    }
  }
  return {};
}

std::optional<double> cvss3_base_score(std::string_view vector) {
  if (!vector.starts_with("CVSS:3.0/") && !vector.starts_with("CVSS:3.1/")) return std::nullopt;
  std::map<std::string, char> values;
  vector.remove_prefix(9);
  while (!vector.empty()) {
    const auto slash = std::min(vector.find('/'), vector.size());
    const auto part = vector.substr(0, slash);
    const auto colon = part.find(':');
    if (colon == part.npos || colon + 2 != part.size()) return std::nullopt;
    values[std::string(part.substr(0, colon))] = part[colon + 1];
    vector.remove_prefix(std::min(slash + 1, vector.size()));
  }
  const bool changed = values["S"] == 'C';
  bool complete = changed || values["S"] == 'U';
  const auto weigh = [&](const char* metric, std::initializer_list<std::pair<char, double>> weights) {
    for (const auto& [letter, weight] : weights) {
      if (values[metric] == letter) return weight;
    }
    complete = false;
    return 0.0;
  };
  const double attack = weigh("AV", {{'N', 0.85}, {'A', 0.62}, {'L', 0.55}, {'P', 0.2}});
  const double complexity = weigh("AC", {{'L', 0.77}, {'H', 0.44}});
  const double privileges = weigh("PR", {{'N', 0.85}, {'L', changed ? 0.68 : 0.62}, {'H', changed ? 0.5 : 0.27}});
  const double interaction = weigh("UI", {{'N', 0.85}, {'R', 0.62}});
  double kept = 1;
  for (const char* metric : {"C", "I", "A"}) kept *= 1 - weigh(metric, {{'H', 0.56}, {'L', 0.22}, {'N', 0.0}});
  if (!complete) return std::nullopt;
  const double base = 1 - kept;
  const double impact = changed ? 7.52 * (base - 0.029) - 3.25 * std::pow(base - 0.02, 15) : 6.42 * base;
  if (impact <= 0) return 0.0;
  const double exploitability = 8.22 * attack * complexity * privileges * interaction;
  const double score = std::min((impact + exploitability) * (changed ? 1.08 : 1.0), 10.0);
  // The specification's Roundup, in whole hundred-thousandths so that no rounding error lifts a score.
  const long scaled = std::lround(score * 100'000);
  return scaled % 10'000 == 0 ? static_cast<double>(scaled) / 100'000 : (std::floor(static_cast<double>(scaled) / 10'000) + 1) / 10;
}

std::string severity_of_score(double score) {
  if (score >= 9) return "critical";
  if (score >= 7) return "high";
  if (score >= 4) return "medium";
  return score > 0 ? "low" : "none";
}

}  // namespace redoubt::stages::image
