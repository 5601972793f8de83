// SPDX-License-Identifier: Apache-2.0
#include "advisories/database.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/file.h"
#include "base/memory_object.h"
#include "crypto/hash.h"

namespace redoubt::advisories {
namespace fs = std::filesystem;
namespace {

constexpr const char* kWhere = "advisory database";
constexpr int kDatabaseVersion = 2;

// A file, or the files of a folder that `counts`.
template <class Counts>
Result<Digest> digest_of_source(const fs::path& path, Counts counts) {
  if (!is_folder(path)) return digest_of_file(path);
  std::string list;
  for (const auto& name : TRY(list_files(path))) {
    if (counts(name)) list += TRY(digest_of_file(path / name)).hex() + "  " + name + "\n";
  }
  return crypto::sha256(list);
}

TimePoint modified(const fs::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return {};
  return TimePoint(std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::seconds(info.st_mtim.tv_sec)));
}

// Each source with its path; `take` gets them one after the other, so that one is in memory at a time.
template <class Take>
Status for_each_source(const DatabaseSources& sources, Take take) {
  if (sources.apt_security) TRY(take(TRY(read_apt_security(sources.apt_lists)), sources.apt_lists));
  for (const auto& path : sources.osv) TRY(take(TRY(read_osv(path)), path));
  for (const auto& path : sources.debian_tracker) TRY(take(TRY(read_debian_tracker(path, modified(path))), path));
  for (const auto& path : sources.epss) TRY(take(TRY(read_epss(path)), path));
  for (const auto& path : sources.kev) TRY(take(TRY(read_kev(path)), path));
  return {};
}

Result<std::vector<std::string>> strings_of(const Json& list) {
  std::vector<std::string> out;
  for (const auto& item : list) {
    if (!item.is_string()) return fail(ErrorCode::invalid_argument, "a list of texts holds something else", kWhere);
    out.push_back(item.get<std::string>());
  }
  return out;
}

Result<KeptFeed> parse_feed(const Json& value) {
  KeptFeed kept;
  kept.feed.name = TRY(json_string(value, "name", kWhere));
  kept.feed.dated = TRY(parse_rfc3339(TRY(json_string(value, "dated", kWhere))));
  const auto records = TRY(json_integer(value, "records", kWhere));
  if (records < 1) return fail(ErrorCode::invalid_argument, "a feed without records", kWhere);
  kept.feed.records = static_cast<std::uint64_t>(records);
  kept.feed.ecosystems = TRY(strings_of(TRY(json_array(value, "ecosystems", kWhere))));
  kept.source = TRY(json_string(value, "source", kWhere));
  kept.digest = TRY(Digest::parse(TRY(json_string(value, "digest", kWhere))));
  kept.blob = TRY(Digest::parse(TRY(json_string(value, "blob", kWhere))));
  kept.etag = json_or(value, "etag", "");
  kept.last_modified = json_or(value, "last_modified", "");
  return kept;
}

}  // namespace

Result<Digest> digest_of_file(const fs::path& file) {
  auto reader = TRY(FileReader::open(file));
  return crypto::sha256_of(*reader);
}

Result<KeptFeed> keep_feed(ReadFeed read, const std::string& source, const Digest& digest, const KeepBlob& keep) {
  const auto index = std::move(read.index).finish();
  const Digest blob = TRY(keep(*index));
  return KeptFeed{std::move(read.feed), source, digest, blob};
}

Result<std::vector<KeptFeed>> load_sources(const DatabaseSources& sources, const KeepBlob& keep) {
  std::vector<KeptFeed> kept;
  TRY(for_each_source(sources, [&](ReadFeed read, const fs::path& path) -> Status {
    const bool is_apt = read.feed.name == kAptFeed;
    const Digest digest = TRY(digest_of_source(path, [&](const std::string& name) { return !is_apt || is_security_list(name); }));
    std::error_code error;
    kept.push_back(TRY(keep_feed(std::move(read), fs::absolute(path, error).string(), digest, keep)));
    return {};
  }));
  return kept;
}

std::string to_text(const std::vector<KeptFeed>& feeds) {
  Json list = Json::array();
  for (const auto& kept : feeds) {
    list.push_back({{"name", kept.feed.name}, {"dated", to_rfc3339(kept.feed.dated)}, {"records", kept.feed.records}, {"ecosystems", kept.feed.ecosystems},
                    {"source", kept.source}, {"digest", kept.digest.tagged()}, {"blob", kept.blob.tagged()}, {"etag", kept.etag}, {"last_modified", kept.last_modified}});
  }
  return dump_json({{"version", kDatabaseVersion}, {"feeds", list}});
}

Result<std::vector<KeptFeed>> parse_database(std::string_view text) {
  const Json document = TRY(parse_json(text, kWhere));
  if (TRY(json_integer(document, "version", kWhere)) != kDatabaseVersion)
    return fail(ErrorCode::unsupported, "a database of another version", kWhere, "run 'redoubt image db update'");
  std::vector<KeptFeed> feeds;
  for (const auto& value : TRY(json_array(document, "feeds", kWhere))) feeds.push_back(TRY(parse_feed(value)));
  return feeds;
}

void AdvisorySet::add(Feed feed, FeedIndex index) { members_.push_back({std::move(feed), std::make_shared<const FeedIndex>(std::move(index))}); }

void AdvisorySet::add(const AdvisorySet& other) {
  const bool has_suite = has(kAptFeed);
  for (const auto& member : other.members_) {
    if (member.feed.name != kAptFeed || !has_suite) members_.push_back(member);
  }
}

bool AdvisorySet::has(const std::string& feed) const {
  return std::any_of(members_.begin(), members_.end(), [&](const Member& member) { return member.feed.name == feed; });
}

std::vector<Feed> AdvisorySet::feeds() const {
  std::vector<Feed> out;
  for (const auto& member : members_) out.push_back(member.feed);
  return out;
}

bool AdvisorySet::covers(const std::string& ecosystem) const {
  return std::any_of(members_.begin(), members_.end(), [&](const Member& member) { return member.feed.covers(ecosystem); });
}

Result<std::vector<Advisory>> AdvisorySet::advisories(const std::string& key) const {
  std::vector<Advisory> out;
  for (const auto& member : members_) {
    for (auto& advisory : TRY(member.index->advisories(key))) out.push_back(std::move(advisory));
  }
  return out;
}

Result<std::vector<std::string>> AdvisorySet::entries(const std::string& key) const {
  std::vector<std::string> out;
  for (const auto& member : members_) {
    for (auto& entry : TRY(member.index->find(key))) out.push_back(std::move(entry));
  }
  return out;
}

Result<AdvisorySet> read_sources(const DatabaseSources& sources) {
  AdvisorySet set;
  TRY(for_each_source(sources, [&](ReadFeed read, const fs::path& path) -> Status {
    MemorySink bytes;
    const auto index = std::move(read.index).finish();
    TRY(copy(*index, bytes));
    set.add(std::move(read.feed), TRY(FeedIndex::open(std::make_shared<MemoryObject>(bytes.take()), path.string())));
    return {};
  }));
  return set;
}

Result<AdvisorySet> open_database(const std::vector<KeptFeed>& feeds, const OpenIndex& open) {
  AdvisorySet set;
  for (const auto& kept : feeds) {
    auto file = open(kept.blob);
    if (!file && file.error().code == ErrorCode::not_found) return fail(ErrorCode::tampered, "a feed of the advisory database was taken away", kept.feed.name + " " + kept.blob.tagged(), "run 'redoubt image db update'");
    if (!file) return fail(file.error());
    set.add(kept.feed, TRY(FeedIndex::open(std::move(*file), kept.feed.name)));
  }
  return set;
}

}  // namespace redoubt::advisories
