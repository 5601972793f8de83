// SPDX-License-Identifier: Apache-2.0
//
// First the entries are hashed from the bottom up. If that gives the signed root, every entry is what was signed, and every
// tile file has to be what the entries give. If not, the tiles are checked from the top down, so that the bundle or tile
// that was changed can be named.
#include "ledger/verify.h"

#include <sys/stat.h>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "ledger/leftover.h"

namespace redoubt::ledger {
namespace fs = std::filesystem;
namespace {

class LedgerVerification {
 public:
  LedgerVerification(const LedgerOptions& options, const crypto::PublicKey& key) : options_(options), key_(key) {}

  LedgerReport run() {
    const auto lock = lock_ledger(options_);
    if (!lock) add("unreadable", lock.error());
    auto checkpoint = read_checkpoint(options_, key_);
    list_folder_below("");
    if (checkpoint) {
      head_ = checkpoint->head;
      report_.entries = head_.size;
      report_.root = head_.root;
      read_entries();
      if (root_of_leaves(leaves_) == head_.root && all_entries_) {
        compare_tiles();
      } else {
        find_the_changed();
      }
      check_files();
      verify_anchor();
    } else {
      add(checkpoint.error().code == ErrorCode::tampered ? "checkpoint" : "unreadable", checkpoint.error());
    }
    return std::move(report_);
  }

 private:
  void add(std::string kind, std::string object, std::string detail) {
    Problem problem{std::move(kind), std::move(object), std::move(detail)};
    if (std::find(report_.problems.begin(), report_.problems.end(), problem) == report_.problems.end()) {
      report_.problems.push_back(std::move(problem));
    }
  }
  void add(std::string kind, const Error& error) { add(std::move(kind), error.where, error.message); }

  // Every file below the folder by its path; what is neither file nor folder is a stray at once.
  void list_folder_below(const std::string& prefix) {
    const auto names = list_folder(options_.folder / prefix);
    if (!names) return add("unreadable", names.error());
    for (const auto& name : *names) {
      const auto path = prefix.empty() ? name : prefix + "/" + name;
      struct stat info {};
      if (::lstat((options_.folder / path).c_str(), &info) != 0 || !(S_ISREG(info.st_mode) || S_ISDIR(info.st_mode))) {
        add("stray", path, "neither a plain file nor a folder");
      } else if (S_ISDIR(info.st_mode)) {
        list_folder_below(path);
      } else {
        files_.insert(path);
      }
    }
  }

  // The contents of a file that the ledger needs; a missing one is named once.
  std::optional<Bytes> read(const std::string& path, std::uint64_t bytes_max, const char* kind) {
    if (!files_.contains(path)) {
      add("missing", path, "a file of the ledger is missing");
      return std::nullopt;
    }
    auto bytes = read_file(options_.folder / path, bytes_max);
    if (bytes) return std::move(*bytes);
    const bool too_long = bytes.error().code == ErrorCode::limit_exceeded;
    add(too_long ? kind : "unreadable", path, too_long ? "the file is too long" : bytes.error().message);
    return std::nullopt;
  }

  std::uint64_t bundles() const { return (head_.size + kTileWidth - 1) / kTileWidth; }
  std::uint64_t width_of(std::uint64_t bundle) const { return std::min(kTileWidth, head_.size - bundle * kTileWidth); }

  // The hash of every entry; those of an unreadable bundle stay zero.
  void read_entries() {
    leaves_.resize(head_.size);
    for (std::uint64_t index = 0; index < bundles(); ++index) {
      const auto path = bundle_path(index, width_of(index));
      const auto bundle = read(path, kBundleBytesMax, "entry");
      if (!bundle) {
        all_entries_ = false;
        continue;
      }
      const auto entries = split_bundle(*bundle, width_of(index), path);
      if (!entries) {
        all_entries_ = false;
        add("entry", path, entries.error().message);
        continue;
      }
      for (std::size_t i = 0; i < entries->size(); ++i) leaves_[index * kTileWidth + i] = leaf_hash((*entries)[i]);
    }
  }

  void compare_tiles() {
    std::vector<Digest> level_hashes = leaves_;
    for (unsigned level = 0; level < tile_levels(head_.size); ++level) {
      std::vector<Digest> above;
      for (std::uint64_t first = 0; first < level_hashes.size(); first += kTileWidth) {
        const auto width = std::min<std::uint64_t>(kTileWidth, level_hashes.size() - first);
        const std::vector<Digest> hashes(level_hashes.begin() + static_cast<std::ptrdiff_t>(first),
                                         level_hashes.begin() + static_cast<std::ptrdiff_t>(first + width));
        const auto path = tile_path(level, first / kTileWidth, width);
        const auto file = read(path, kTileWidth * 32, "tile");
        if (file && *file != encode_tile(hashes))
          add("tile", path, "the tile does not hold the hashes of the entries below it");
        if (width == kTileWidth) above.push_back(root_of_leaves(hashes));
      }
      level_hashes = std::move(above);
    }
  }

  // Top down, as far as the tiles can be believed.
  void find_the_changed() {
    const auto before = report_.problems.size();
    auto tree = TileTree::open(options_.folder, head_);
    if (!tree) {
      for (unsigned level = 0; level < tile_levels(head_.size); ++level) {
        const std::uint64_t hashes = head_.size >> (8 * level);
        if (hashes % kTileWidth != 0)
          read(tile_path(level, hashes / kTileWidth, hashes % kTileWidth), kTileWidth * 32, "tile");
      }
      add("tile", tree.error());
    } else {
      for (const auto& name : tiles_of(head_.size)) {
        const auto hashes = tree->tile(name.level, name.index);
        if (!hashes) add("tile", hashes.error());
        if (hashes && name.level == 0) compare_entries(name, *hashes);
      }
    }
    if (report_.problems.size() == before && before == 0)
      add("checkpoint", kCheckpointName, "the entries do not give the signed root");
  }

  void compare_entries(const TileName& name, const std::vector<Digest>& hashes) {
    for (std::size_t i = 0; i < hashes.size(); ++i) {
      const auto index = name.index * kTileWidth + i;
      if (leaves_[index] == hashes[i] || leaves_[index] == Digest{}) continue;
      add("entry", bundle_path(name.index, name.width), fmt::format("entry {} was changed", index));
    }
  }

  // Files beside the current ones: leftovers have to agree with it, all else is a stray.
  void check_files() {
    for (const auto& path : files_) {
      const auto kind = kind_of_file(path, head_.size);
      if (path == kLockName) {
        std::error_code error;
        if (fs::file_size(options_.folder / path, error) != 0) add("stray", path, "the lock file is not empty");
      } else if (kind.role == FileRole::stray) {
        add("stray", path, "a file that does not belong to the ledger");
      } else if (kind.role == FileRole::superseded || kind.role == FileRole::next) {
        if (!is_leftover(path, kind))
          add("stray", path, "looks like the leftover of an interrupted append, but does not agree with the ledger");
      }
    }
  }

  bool is_leftover(const std::string& path, const FileKind& kind) {
    const auto bytes = read_file(options_.folder / path, kind.is_bundle ? kBundleBytesMax : kTileWidth * 32);
    if (!bytes) return false;
    std::vector<Digest> hashes;
    if (kind.is_bundle) {
      const auto entries = split_bundle(*bytes, kind.name.width, path);
      if (!entries) return false;
      for (const auto& entry : *entries) hashes.push_back(leaf_hash(entry));
    } else {
      auto decoded = decode_tile(*bytes, kind.name.width, path);
      if (!decoded) return false;
      hashes = std::move(*decoded);
    }
    return agrees(kind, hashes);
  }

  // A superseded file's hashes all stand in the ledger; of the next entry's file all but the last.
  bool agrees(const FileKind& kind, const std::vector<Digest>& hashes) {
    const std::uint64_t span = std::uint64_t{1} << (8 * kind.name.level);
    const std::size_t known = kind.role == FileRole::next ? hashes.size() - 1 : hashes.size();
    for (std::size_t i = 0; i < known; ++i) {
      const auto first = (kind.name.index * kTileWidth + i) * span;
      const std::vector<Digest> below(leaves_.begin() + static_cast<std::ptrdiff_t>(first),
                                      leaves_.begin() + static_cast<std::ptrdiff_t>(first + span));
      if (root_of_leaves(below) != hashes[i]) return false;
    }
    return true;
  }

  void verify_anchor() {
    auto tree = TileTree::open(options_.folder, head_);
    if (!tree) return;  // named already
    const auto status = check_anchor(options_, key_, *tree);
    // A changed tile was named above; here only what the anchor itself says.
    if (!status && (report_.problems.empty() || status.error().where == options_.anchor.string()))
      add("anchor", status.error());
  }

  const LedgerOptions& options_;
  const crypto::PublicKey& key_;
  LedgerReport report_;
  TreeHead head_;
  std::set<std::string> files_;
  std::vector<Digest> leaves_;
  bool all_entries_ = true;
};

}  // namespace

LedgerReport verify_ledger(const LedgerOptions& options, const crypto::PublicKey& key) {
  std::error_code ignored;
  if (!fs::is_directory(options.folder, ignored)) {
    return {0, empty_root(), {{"missing", options.folder.string(), "there is no ledger"}}};
  }
  return LedgerVerification(options, key).run();
}

}  // namespace redoubt::ledger
