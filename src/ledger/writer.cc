// SPDX-License-Identifier: Apache-2.0
//
// The order of an append: bundle, tiles, checkpoint, anchor, then the partial files that are no longer needed go. Until the
// checkpoint is renamed into place the new files are unknown to everybody, so a crash before that changes nothing.
#include <fmt/format.h>

#include "base/check.h"
#include "ledger/anchor.h"
#include "ledger/leftover.h"

namespace redoubt::ledger {
namespace fs = std::filesystem;
namespace {

Status write_below(const fs::path& folder, const std::string& path, ByteView bytes) {
  TRY(make_folder((folder / path).parent_path()));
  return write_file(folder / path, bytes);
}

Status check_options(const LedgerOptions& options) {
  if (is_note_key_name(options.origin)) return {};
  return fail(ErrorCode::invalid_argument, "a ledger's origin is printable ASCII without a space or '+'", options.origin);
}

}  // namespace

Result<std::unique_ptr<LedgerWriter>> LedgerWriter::create(LedgerOptions options, crypto::SigningKey key) {
  TRY(check_options(options));
  TRY(make_folder(options.folder));
  const auto lock = TRY(lock_ledger(options));
  const auto existing = read_checkpoint(options, key.public_key());
  if (existing) return fail(ErrorCode::already_exists, "there is a ledger already", options.folder.string());
  if (existing.error().code != ErrorCode::not_found) return fail(existing.error());
  const auto checkpoint = sign_checkpoint(options.origin, {0, empty_root()}, key);
  TRY(write_file(options.folder / kCheckpointName, checkpoint.note));
  TRY(write_anchor(options, checkpoint));
  auto writer = std::unique_ptr<LedgerWriter>(new LedgerWriter(std::move(options), std::move(key)));
  writer->state_ = {checkpoint, Edge{}, Bytes{}};
  return writer;
}

Result<std::unique_ptr<LedgerWriter>> LedgerWriter::open(LedgerOptions options, crypto::SigningKey key) {
  TRY(check_options(options));
  TRY(check_folder(options));
  const auto lock = TRY(lock_ledger(options));
  auto writer = std::unique_ptr<LedgerWriter>(new LedgerWriter(std::move(options), std::move(key)));
  auto opened = TRY(open_tree(writer->options_, TRY(read_checkpoint(writer->options_, writer->key_.public_key()))));
  TRY(check_anchor(writer->options_, writer->key_.public_key(), opened.tree));
  TRY(remove_leftovers(writer->options_, opened));
  // After a crash the anchor may be one entry behind; from here on it is not.
  TRY(write_anchor(writer->options_, opened.checkpoint));
  writer->state_ = {std::move(opened.checkpoint), opened.tree.edge(), std::move(opened.bundle)};
  return writer;
}

Checkpoint LedgerWriter::checkpoint() const {
  const std::lock_guard guard(mutex_);
  return state_.checkpoint;
}

// Takes over what another process appended, if it is a continuation of what this one knows.
Status LedgerWriter::load() {
  auto checkpoint = TRY(read_checkpoint(options_, key_.public_key()));
  if (checkpoint.note == state_.checkpoint.note) return {};
  auto opened = TRY(open_tree(options_, std::move(checkpoint)));
  const auto& known = state_.checkpoint.head;
  if (opened.tree.head().size < known.size || TRY(root_at(known.size, opened.tree.reader())) != known.root) {
    return fail(ErrorCode::tampered, "the ledger was rolled back or rewritten while it was open", options_.folder.string());
  }
  state_ = {std::move(opened.checkpoint), opened.tree.edge(), std::move(opened.bundle)};
  return {};
}

Result<std::uint64_t> LedgerWriter::append(ByteView entry) {
  if (entry.size() > kEntryBytesMax) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("an entry of {} bytes; the ledger takes {}", entry.size(), kEntryBytesMax), "",
                "store large things as artifacts and name them by digest");
  }
  const std::lock_guard guard(mutex_);
  const auto lock = TRY(lock_ledger(options_));
  TRY(load());
  const std::uint64_t index = state_.edge.size;
  State next = state_;
  append_to_bundle(next.bundle, entry);
  TRY(write_below(options_.folder, bundle_path(index / kTileWidth, index % kTileWidth + 1), next.bundle));
  Status written;
  next.edge.push(leaf_hash(entry), [&](unsigned level, std::uint64_t tile, const std::vector<Digest>& hashes) {
    if (written) written = write_below(options_.folder, tile_path(level, tile, kTileWidth), encode_tile(hashes));
  });
  TRY(std::move(written));
  if (next.edge.size % kTileWidth == 0) next.bundle.clear();
  next.checkpoint = sign_checkpoint(options_.origin, {next.edge.size, next.edge.root()}, key_);
  TRY(store(next));
  state_ = std::move(next);
  TRY(write_anchor(options_, state_.checkpoint));
  TRY(remove_superseded(index));
  return index;
}

// The edge tiles that changed, then the checkpoint that makes all of it count.
Status LedgerWriter::store(const State& next) {
  for (unsigned level = 0; level < next.edge.tiles.size(); ++level) {
    const auto width = next.edge.width(level);
    if (width == 0) continue;
    const auto index = next.edge.size >> (8 * level) >> 8;
    TRY(write_below(options_.folder, tile_path(level, index, width), encode_tile(next.edge.tiles[level])));
    break;  // the levels above did not change
  }
  return write_file(options_.folder / kCheckpointName, next.checkpoint.note);
}

Status LedgerWriter::remove_superseded(std::uint64_t old_size) {
  const auto remove = [this](const std::string& path) {
    std::error_code ignored;  // a file that stays is an exact prefix of its successor, and checked as such
    fs::remove(options_.folder / path, ignored);
    fs::remove((options_.folder / path).parent_path(), ignored);  // the ".p" folder, once it is empty
  };
  for (unsigned level = 0; level < tile_levels(old_size); ++level) {
    const std::uint64_t hashes = old_size >> (8 * level);
    if (hashes == (old_size + 1) >> (8 * level)) break;  // unchanged, and all above
    if (hashes % kTileWidth == 0) continue;
    remove(tile_path(level, hashes / kTileWidth, hashes % kTileWidth));
    if (level == 0) remove(bundle_path(hashes / kTileWidth, hashes % kTileWidth));
  }
  return {};
}

}  // namespace redoubt::ledger
