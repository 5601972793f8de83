// SPDX-License-Identifier: Apache-2.0
//
// The advisory database: what feeds said on the day they were loaded, as one document for the vault (docs/formats/advisories.md).
// A machine that reaches no feed scans with it; its age counts as the feeds' own.
#pragma once

#include "base/bytes.h"
#include "stages/image/advisories.h"

namespace redoubt::stages::image {

struct DatabaseSources {
  bool apt_security = true;
  std::filesystem::path apt_lists = "/var/lib/apt/lists";
  std::vector<std::filesystem::path> osv;
};

// Where a feed came from, for the record.
struct LoadedFeed {
  Feed feed;
  std::string source;  // the path
  Digest digest;       // a file's SHA-256, or that of a folder's list as sha256sum(1) writes it, sorted by name
};

struct Database {
  std::vector<LoadedFeed> loaded;
  Advisories advisories;
};

// Reads the sources; the errors of read_apt_security and read_osv, and not_found where no source is named.
Result<Database> load_database(const DatabaseSources& sources);

std::string to_text(const Advisories& advisories);
// What to_text wrote; invalid_argument for all else.
Result<Advisories> parse_database(std::string_view text);

// Adds what the database knows. Its list of the security suite counts only where this machine has none of its own.
void add_database(const Advisories& database, Advisories& into);

}  // namespace redoubt::stages::image
