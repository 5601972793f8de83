// SPDX-License-Identifier: Apache-2.0
#include "stages/image/database.h"

#include <algorithm>

#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::stages::image {
namespace fs = std::filesystem;
namespace {

constexpr const char* kWhere = "advisory database";
constexpr int kVersion = 1;
constexpr std::size_t kBytesMax = 1 << 30;

Result<Digest> digest_of_file(const fs::path& file) {
  auto reader = TRY(FileReader::open(file));
  return crypto::sha256_of(*reader);
}

// A file, or the files of a folder that `counts`.
template <class Counts>
Result<Digest> digest_of_source(const fs::path& path, Counts counts) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return digest_of_file(path);
  std::string list;
  for (const auto& name : TRY(list_files(path))) {
    if (counts(name)) list += TRY(digest_of_file(path / name)).hex() + "  " + name + "\n";
  }
  return crypto::sha256(list);
}

Json to_json(const Advisory& advisory) {
  Json ranges = Json::array();
  for (const auto& range : advisory.ranges) ranges.push_back({range.introduced, range.fixed, range.last_affected});
  return {{"id", advisory.id}, {"ecosystem", advisory.ecosystem}, {"package", advisory.package}, {"ranges", ranges},
          {"versions", advisory.versions}, {"severity", advisory.severity}, {"cvss", advisory.cvss}};
}

Result<std::vector<std::string>> strings_of(const Json& list) {
  std::vector<std::string> out;
  for (const auto& item : list) {
    if (!item.is_string()) return fail(ErrorCode::invalid_argument, "a list of texts holds something else", kWhere);
    out.push_back(item.get<std::string>());
  }
  return out;
}

Result<Advisory> parse_advisory(const Json& value) {
  Advisory advisory;
  advisory.id = TRY(json_string(value, "id", kWhere));
  advisory.ecosystem = TRY(json_string(value, "ecosystem", kWhere));
  advisory.package = TRY(json_string(value, "package", kWhere));
  for (const auto& range : TRY(json_array(value, "ranges", kWhere))) {
    const auto ends = TRY(strings_of(range));
    if (!range.is_array() || ends.size() != 3) return fail(ErrorCode::invalid_argument, "a range has not three ends", kWhere);
    advisory.ranges.push_back({ends[0], ends[1], ends[2]});
  }
  advisory.versions = TRY(strings_of(TRY(json_array(value, "versions", kWhere))));
  advisory.severity = TRY(json_string(value, "severity", kWhere));
  advisory.cvss = TRY(json_number(value, "cvss", kWhere));
  return advisory;
}

}  // namespace

Result<Database> load_database(const DatabaseSources& sources) {
  Database database;
  const auto add = [&](const fs::path& path, auto counts) -> Status {
    const Digest digest = TRY(digest_of_source(path, counts));
    std::error_code error;
    database.loaded.push_back({database.advisories.feeds.back(), fs::absolute(path, error).string(), digest});
    return {};
  };
  if (sources.apt_security) {
    TRY(read_apt_security(sources.apt_lists, database.advisories));
    TRY(add(sources.apt_lists, is_security_list));
  }
  for (const auto& path : sources.osv) {
    TRY(read_osv(path, database.advisories));
    TRY(add(path, [](const std::string&) { return true; }));
  }
  if (database.loaded.empty()) return fail(ErrorCode::invalid_argument, "no feed is named", "--osv", "name a folder or an archive of OSV records, or leave out --no-apt");
  return database;
}

std::string to_text(const Advisories& advisories) {
  Json feeds = Json::array(), records = Json::array();
  for (const auto& feed : advisories.feeds) feeds.push_back({{"name", feed.name}, {"dated", to_rfc3339(feed.dated)}, {"records", feed.records}});
  for (const auto& [key, advisory] : advisories.by_package) records.push_back(to_json(advisory));
  return dump_json({{"version", kVersion}, {"feeds", feeds}, {"suite_versions", advisories.suite_versions}, {"advisories", records}});
}

Result<Advisories> parse_database(std::string_view text) {
  const Json document = TRY(parse_json(text, kWhere, {.bytes_max = kBytesMax}));
  if (TRY(json_integer(document, "version", kWhere)) != kVersion) return fail(ErrorCode::unsupported, "a database of another version", kWhere, "run 'redoubt image db update'");
  Advisories advisories;
  for (const auto& value : TRY(json_array(document, "feeds", kWhere))) {
    Feed feed;
    feed.name = TRY(json_string(value, "name", kWhere));
    feed.dated = TRY(parse_rfc3339(TRY(json_string(value, "dated", kWhere))));
    const auto records = TRY(json_integer(value, "records", kWhere));
    if (records < 1) return fail(ErrorCode::invalid_argument, "a feed without records", kWhere);
    feed.records = static_cast<std::uint64_t>(records);
    advisories.feeds.push_back(std::move(feed));
  }
  const Json suite = TRY(json_object(document, "suite_versions", kWhere));
  for (const auto& [name, version] : suite.items()) {
    if (!version.is_string()) return fail(ErrorCode::invalid_argument, "a version that is no text", kWhere);
    advisories.suite_versions.emplace(name, version.get<std::string>());
  }
  for (const auto& value : TRY(json_array(document, "advisories", kWhere))) {
    auto advisory = TRY(parse_advisory(value));
    auto key = package_key(advisory.ecosystem, advisory.package);
    advisories.by_package.emplace(std::move(key), std::move(advisory));
  }
  return advisories;
}

void add_database(const Advisories& database, Advisories& into) {
  const bool has_suite = std::any_of(into.feeds.begin(), into.feeds.end(), [](const Feed& feed) { return feed.name == kAptFeed; });
  for (const auto& feed : database.feeds) {
    if (feed.name != kAptFeed || !has_suite) into.feeds.push_back(feed);
  }
  if (!has_suite) into.suite_versions = database.suite_versions;
  into.by_package.insert(database.by_package.begin(), database.by_package.end());
}

}  // namespace redoubt::stages::image
