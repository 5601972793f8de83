// SPDX-License-Identifier: Apache-2.0
//
// What the layers of an image, or a folder, leave below "/" of the files that tell of packages. Layers are added from the lowest up; links
// are followed within the root alone, a bounded number of times.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/stream.h"
#include "packages/package.h"

namespace redoubt::packages {

// A file that tells of packages by its name or by what it holds.
enum class RecordKind {
  os_release, dpkg_status, dpkg_part, dpkg_files, copyright, apk_installed, rpm_sqlite, rpm_write_ahead_log, rpm_ndb, rpm_berkeley,
  python_metadata, npm_package, npm_lock, yarn_lock, gemspec, java_archive, program
};

// The kind of a file by its path below the root and whether it may be run; nothing for all others.
std::optional<RecordKind> record_kind(const std::string& path, bool is_executable);

class RootFiles {
 public:
  struct Limits {
    std::uint64_t entries_max = 10'000'000;
    std::uint64_t text_bytes_max = 1 << 30;     // kept of all records together
    std::uint64_t record_bytes_max = 512 << 20;  // of one record that is kept
    std::uint64_t program_bytes_max = 1 << 30;   // of one program or Java archive, which is not kept
  };
  RootFiles() = default;
  explicit RootFiles(Limits limits) : limits_(limits) {}

  // What is added from now on lies over what was added before.
  void begin_layer() {
    ++layer_;
    unread_links_.clear();
  }
  // `path` is relative and clean: no empty, "." or ".." part. What stood there, and below it, is gone. The contents are read where they tell of
  // packages; `size` is what the archive says, the contents decide.
  Status add_file(const std::string& path, bool is_executable, Source& contents);
  Status add_folder(const std::string& path);
  Status add_symbolic_link(const std::string& path, const std::string& target);
  Status add_hard_link(const std::string& path, const std::string& target);
  // Whether hard links of this layer tell of packages by their names, and the files that they stand for, which came first, were not read by theirs. Each
  // file of the layer once more is then read for the links to it; what stays unread is a problem of the inventory.
  bool has_unread_links() const { return !unread_links_.empty(); }
  Status read_for_links(const std::string& path, Source& contents);
  // A whiteout: what lower layers have at, or below, a path.
  Status hide(const std::string& path);
  Status hide_contents(const std::string& folder);

  // Reads all records. invalid_argument for a distribution's database that can't be read; what else can't be is a problem of the inventory.
  Result<Inventory> inventory(Distribution& distribution) const;

 private:
  struct Entry {
    int layer = 0;
    std::optional<RecordKind> kind;             // nothing for a link
    std::string target;                         // of a symbolic link
    std::shared_ptr<const std::string> text;    // of a record
    std::shared_ptr<const Inventory> packages;  // of a program or a Java archive
    bool is_unread = false;                     // a hard link to a file that was not read
  };
  using Entries = std::map<std::string, Entry>;

  Result<std::string> resolve_parent(const std::string& path) const;
  Result<std::string> resolve(const std::string& path) const;
  Status count();
  void erase(const std::string& path, int below_layer);
  void erase_below(const std::string& path, int below_layer);
  Result<Entry> read(RecordKind kind, const std::string& path, Source& contents);
  const Entry* find(const std::string& path) const;
  bool counts(const std::string& path, RecordKind kind) const;
  void name_owners(Inventory& inventory) const;
  std::optional<PackageProblem> unread_link(const std::string& path) const;

  Limits limits_;
  int layer_ = 0;
  std::uint64_t entries_seen_ = 0, text_bytes_ = 0;
  std::map<std::string, std::vector<std::string>> unread_links_;  // of this layer: a file, and the links to it
  Entries entries_;
};

}  // namespace redoubt::packages
