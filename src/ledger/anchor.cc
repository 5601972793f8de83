// SPDX-License-Identifier: Apache-2.0
#include "ledger/anchor.h"

#include <fmt/format.h>

namespace redoubt::ledger {
namespace fs = std::filesystem;
namespace {

constexpr const char* kRollbackHint =
    "restore the newest backup with 'redoubt restore FILE --to DIR'; --accept-older takes an older one on purpose, and records it";

bool has_anchor(const LedgerOptions& options) {
  std::error_code ignored;
  return !options.anchor.empty() && fs::exists(options.anchor, ignored);
}

// A note file that is there but too large was not written by us.
Result<std::string> read_note_file(const fs::path& path) {
  auto text = read_text_file(path, kNoteBytesMax);
  if (!text && text.error().code == ErrorCode::limit_exceeded) {
    return fail(ErrorCode::tampered, "the checkpoint is larger than any checkpoint", path.string());
  }
  return text;
}

}  // namespace

Status check_folder(const LedgerOptions& options) {
  if (is_folder(options.folder)) return {};
  if (has_anchor(options)) return fail(ErrorCode::tampered, "the ledger is gone, but its anchor is there", options.folder.string(), kRollbackHint);
  return fail(ErrorCode::not_found, "there is no ledger", options.folder.string(), "make a workspace with 'redoubt init'");
}

Result<FileLock> lock_ledger(const LedgerOptions& options) { return FileLock::acquire(options.folder / kLockName); }

Result<Checkpoint> read_checkpoint(const LedgerOptions& options, const crypto::PublicKey& key) {
  const auto path = options.folder / kCheckpointName;
  const auto note = read_note_file(path);
  if (!note && note.error().code == ErrorCode::not_found && has_anchor(options)) {
    return fail(ErrorCode::tampered, "the ledger is gone, but its anchor is there", path.string(), kRollbackHint);
  }
  if (!note) return fail(note.error());
  return open_checkpoint(*note, {options.origin, key}, path.string());
}

Result<OpenedLedger> open_tree(const LedgerOptions& options, Checkpoint checkpoint) {
  auto tree = TRY(TileTree::open(options.folder, checkpoint.head));
  Bytes bundle;
  const auto index = checkpoint.head.size / kTileWidth, width = checkpoint.head.size % kTileWidth;
  if (width > 0) {
    bundle = TRY(read_bundle(options.folder, index, width));
    const auto path = bundle_path(index, width);
    const auto entries = TRY(split_bundle(bundle, width, path));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (leaf_hash(entries[i]) == tree.edge().tiles[0][i]) continue;
      return fail(ErrorCode::tampered, fmt::format("entry {} of the ledger was changed", index * kTileWidth + i), path);
    }
  }
  return OpenedLedger{std::move(checkpoint), std::move(tree), std::move(bundle)};
}

Status check_anchor(const LedgerOptions& options, const crypto::PublicKey& key, TileTree& tree) {
  if (options.anchor.empty()) return {};
  const auto where = options.anchor.string();
  if (!has_anchor(options)) {
    if (tree.head().size == 0) return {};
    return fail(ErrorCode::tampered, "the ledger's anchor is missing, so nothing says how long the ledger was", where,
                kRollbackHint);
  }
  const auto anchored = TRY(open_checkpoint(TRY(read_note_file(options.anchor)), {options.origin, key}, where)).head;
  if (anchored.size > tree.head().size) {
    return fail(
        ErrorCode::tampered,
        fmt::format("the ledger was rolled back: it has {} entries, and once had {}", tree.head().size, anchored.size),
        where, kRollbackHint);
  }
  if (TRY(root_at(anchored.size, tree.reader())) != anchored.root) {
    return fail(ErrorCode::tampered, "the ledger was rewritten: it is no continuation of what its anchor saw", where,
                kRollbackHint);
  }
  return {};
}

Status write_anchor(const LedgerOptions& options, const Checkpoint& checkpoint) {
  if (options.anchor.empty()) return {};
  TRY(make_folder(options.anchor.parent_path()));
  return write_file(options.anchor, checkpoint.note);
}

Result<TreeHead> adopt_ledger(const LedgerOptions& options, const crypto::PublicKey& key) {
  const auto lock = TRY(lock_ledger(options));
  const auto opened = TRY(open_tree(options, TRY(read_checkpoint(options, key))));
  TRY(write_anchor(options, opened.checkpoint));
  return opened.checkpoint.head;
}

}  // namespace redoubt::ledger
