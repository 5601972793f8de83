// SPDX-License-Identifier: Apache-2.0
//
// The tamper-evident ledger: an append-only RFC 6962 log in a folder (docs/formats/ledger.md). Several processes may append
// and read at once. What is read was checked against the signed checkpoint, and the checkpoint against the anchor: a copy
// outside of the workspace, so that a ledger that was rolled back or cut off is noticed.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "ledger/checkpoint.h"
#include "ledger/tile_tree.h"

namespace redoubt::ledger {

struct LedgerOptions {
  std::filesystem::path folder;  // the ledger's own folder, "<workspace>/ledger"
  std::filesystem::path anchor;  // the newest checkpoint outside of the workspace; empty: none is kept
  std::string origin;            // which ledger this is, "redoubt.local/<workspace id>": printable ASCII, no space, no '+'
};

// A ledger as it was when opened (or refreshed). Not safe to use from several threads at once.
class LedgerReader {
 public:
  // not_found when there is no ledger; tampered when the checkpoint, the edge of the tree or the anchor do not fit.
  static Result<std::unique_ptr<LedgerReader>> open(LedgerOptions options, crypto::PublicKey key);

  const Checkpoint& checkpoint() const { return checkpoint_; }
  std::uint64_t size() const { return checkpoint_.head.size; }
  // Moves on to the newest checkpoint; tampered when that is not a continuation of this one.
  Status refresh();

  Result<Bytes> entry(std::uint64_t index);
  // The entries from `from` on, in order; stops at the first error of `visit`.
  Status for_each(std::uint64_t from, const std::function<Status(std::uint64_t index, ByteView entry)>& visit);
  Result<Digest> root(std::uint64_t size);
  Result<MerkleProof> inclusion_proof(std::uint64_t index);  // below the checkpoint
  Result<MerkleProof> consistency_proof(std::uint64_t old_size, std::uint64_t new_size);

 private:
  LedgerReader(LedgerOptions options, crypto::PublicKey key, Checkpoint checkpoint, TileTree tree, Bytes bundle)
      : options_(std::move(options)),
        key_(std::move(key)),
        checkpoint_(std::move(checkpoint)),
        tree_(std::move(tree)),
        edge_bundle_(std::move(bundle)) {}
  Result<Bytes> checked_bundle(std::uint64_t index);

  LedgerOptions options_;
  crypto::PublicKey key_;
  Checkpoint checkpoint_;
  TileTree tree_;
  Bytes edge_bundle_;  // the partial bundle, which a writer may replace at any time
};

class LedgerWriter {
 public:
  // An empty ledger. already_exists when there is one; tampered when an anchor says that there was one.
  static Result<std::unique_ptr<LedgerWriter>> create(LedgerOptions options, crypto::SigningKey key);
  // Opens, checks the anchor, and removes what an interrupted append left behind. not_found, tampered.
  static Result<std::unique_ptr<LedgerWriter>> open(LedgerOptions options, crypto::SigningKey key);

  // The index of the new entry, which is durable and signed when this returns. An entry of more than kEntryBytesMax bytes is
  // limit_exceeded. A process killed at any instant leaves a ledger with the entry or without. Safe from several threads.
  Result<std::uint64_t> append(ByteView entry);
  // The newest checkpoint that this writer knows.
  Checkpoint checkpoint() const;

 private:
  struct State {
    Checkpoint checkpoint;
    Edge edge;
    Bytes bundle;
  };
  LedgerWriter(LedgerOptions options, crypto::SigningKey key) : options_(std::move(options)), key_(std::move(key)) {}
  Status load();
  Status store(const State& next);
  Status remove_superseded(std::uint64_t size);

  LedgerOptions options_;
  crypto::SigningKey key_;
  mutable std::mutex mutex_;
  State state_;
};

// Writes the anchor anew from the ledger as it is: for a workspace that was restored or moved on purpose. Answers the head
// that is trusted from now on.
Result<TreeHead> adopt_ledger(const LedgerOptions& options, const crypto::PublicKey& key);

}  // namespace redoubt::ledger
