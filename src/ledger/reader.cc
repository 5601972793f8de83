// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "ledger/anchor.h"

namespace redoubt::ledger {
namespace {

Result<OpenedLedger> open_now(const LedgerOptions& options, const crypto::PublicKey& key) {
  TRY(check_folder(options));
  const auto lock = TRY(lock_ledger(options));
  auto opened = TRY(open_tree(options, TRY(read_checkpoint(options, key))));
  TRY(check_anchor(options, key, opened.tree));
  return opened;
}

}  // namespace

Result<std::unique_ptr<LedgerReader>> LedgerReader::open(LedgerOptions options, crypto::PublicKey key) {
  auto opened = TRY(open_now(options, key));
  return std::unique_ptr<LedgerReader>(new LedgerReader(std::move(options), std::move(key), std::move(opened.checkpoint),
                                                        std::move(opened.tree), std::move(opened.bundle)));
}

Status LedgerReader::refresh() {
  auto opened = TRY(open_now(options_, key_));
  if (opened.checkpoint.head.size < size() || TRY(root_at(size(), opened.tree.reader())) != checkpoint_.head.root) {
    return fail(ErrorCode::tampered, "the ledger was rolled back or rewritten while it was open", options_.folder.string());
  }
  checkpoint_ = std::move(opened.checkpoint);
  tree_ = std::move(opened.tree);
  edge_bundle_ = std::move(opened.bundle);
  return {};
}

// A bundle whose entries all have the hashes that the tree holds for them.
Result<Bytes> LedgerReader::checked_bundle(std::uint64_t index) {
  if (index == size() / kTileWidth) return edge_bundle_;
  auto bundle = TRY(read_bundle(options_.folder, index, kTileWidth));
  const auto hashes = TRY(tree_.tile(0, index));
  const auto path = bundle_path(index, kTileWidth);
  const auto entries = TRY(split_bundle(bundle, kTileWidth, path));
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (leaf_hash(entries[i]) == hashes[i]) continue;
    return fail(ErrorCode::tampered, fmt::format("entry {} of the ledger was changed", index * kTileWidth + i), path);
  }
  return bundle;
}

Result<Bytes> LedgerReader::entry(std::uint64_t index) {
  if (index >= size()) {
    return fail(ErrorCode::not_found, fmt::format("the ledger has {} entries, and none with the index {}", size(), index));
  }
  const auto bundle = TRY(checked_bundle(index / kTileWidth));
  const auto width = std::min(kTileWidth, size() - index / kTileWidth * kTileWidth);
  const auto entry = TRY(split_bundle(bundle, width, "bundle"))[index % kTileWidth];
  return Bytes(entry.begin(), entry.end());
}

Status LedgerReader::for_each(std::uint64_t from, const std::function<Status(std::uint64_t, ByteView)>& visit) {
  while (from < size()) {
    const auto first = from / kTileWidth * kTileWidth;
    const auto bundle = TRY(checked_bundle(from / kTileWidth));
    const auto entries = TRY(split_bundle(bundle, std::min(kTileWidth, size() - first), "bundle"));
    for (; from < first + entries.size(); ++from) TRY(visit(from, entries[from - first]));
  }
  return {};
}

Result<Digest> LedgerReader::root(std::uint64_t size_of_tree) {
  if (size_of_tree > size()) return fail(ErrorCode::invalid_argument, "the ledger never was that long");
  return root_at(size_of_tree, tree_.reader());
}

Result<MerkleProof> LedgerReader::inclusion_proof(std::uint64_t index) {
  return ledger::inclusion_proof(index, size(), tree_.reader());
}

Result<MerkleProof> LedgerReader::consistency_proof(std::uint64_t old_size, std::uint64_t new_size) {
  if (new_size > size()) return fail(ErrorCode::invalid_argument, "the ledger never was that long");
  return ledger::consistency_proof(old_size, new_size, tree_.reader());
}

}  // namespace redoubt::ledger
