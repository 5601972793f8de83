// SPDX-License-Identifier: Apache-2.0
//
// The advisory database: what feeds said on the day they were loaded. A list of feeds, each with its index, as the vault keeps it
// (docs/formats/advisories.md); a machine that reaches no feed scans with it, and its age counts as the feeds' own.
#pragma once

#include <functional>
#include <memory>
#include <set>

#include "advisories/feeds.h"
#include "base/json.h"

namespace redoubt::advisories {

struct DatabaseSources {
  bool apt_security = true;
  std::filesystem::path apt_lists = "/var/lib/apt/lists";
  std::vector<std::filesystem::path> osv;
  std::vector<std::filesystem::path> debian_tracker, epss, kev;
};

// A feed of the database, and where it came from.
struct KeptFeed {
  Feed feed;
  std::string source;                  // path or URL
  Digest digest;                       // a file's SHA-256, or that of a folder's list as sha256sum(1) writes it, sorted by name
  Digest blob;                         // its index
  std::string etag = {}, last_modified = {};  // of a URL: what was read need not be read again
};

// Keeps an index; its digest.
using KeepBlob = std::function<Result<Digest>(Source&)>;
using OpenIndex = std::function<Result<std::shared_ptr<const RandomAccess>>(const Digest&)>;

// Reads the sources, each index kept as soon as it is made. The errors of the feeds, and invalid_argument where no source is named.
Result<std::vector<KeptFeed>> load_sources(const DatabaseSources& sources, const KeepBlob& keep);
// One that was read.
Result<KeptFeed> keep_feed(ReadFeed read, const std::string& source, const Digest& digest, const KeepBlob& keep);
Result<Digest> digest_of_file(const std::filesystem::path& file);

std::string to_text(const std::vector<KeptFeed>& feeds);
// What to_text wrote; unsupported for another version, invalid_argument for all else.
Result<std::vector<KeptFeed>> parse_database(std::string_view text);

// Feeds that are looked up in together.
class AdvisorySet {
 public:
  void add(Feed feed, FeedIndex index);
  void add(const AdvisorySet& other);  // beside its own; apt's suite only where there is none yet
  bool has(const std::string& feed) const;
  std::vector<Feed> feeds() const;
  bool covers(const std::string& ecosystem) const;
  // Of every feed.
  Result<std::vector<Advisory>> advisories(const std::string& key) const;
  Result<std::vector<std::string>> entries(const std::string& key) const;

 private:
  struct Member {
    Feed feed;
    std::shared_ptr<const FeedIndex> index;
  };
  std::vector<Member> members_;
};

// The feeds of sources that are read now, in memory.
Result<AdvisorySet> read_sources(const DatabaseSources& sources);
// Those that were kept; tampered where an index is gone or not what it was.
Result<AdvisorySet> open_database(const std::vector<KeptFeed>& feeds, const OpenIndex& open);

}  // namespace redoubt::advisories
