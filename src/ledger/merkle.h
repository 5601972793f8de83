// SPDX-License-Identifier: Apache-2.0
//
// Merkle hash trees as RFC 6962 section 2.1 defines them, and the verification of their proofs after RFC 9162
// sections 2.1.3.2 and 2.1.4.2. Making proofs needs only the hashes of complete subtrees, which the tiles hold.
#pragma once

#include <functional>
#include <vector>

#include "base/bytes.h"

namespace redoubt::ledger {

using MerkleProof = std::vector<Digest>;  // at most 64 hashes, from the leaf's side up

Digest leaf_hash(ByteView entry);                           // SHA-256(0x00 || entry)
Digest node_hash(const Digest& left, const Digest& right);  // SHA-256(0x01 || left || right)
Digest empty_root();                                        // SHA-256("")
Digest root_of_leaves(const std::vector<Digest>& leaf_hashes);

// The hash over the 2^level leaves from index * 2^level on.
using NodeReader = std::function<Result<Digest>(unsigned level, std::uint64_t index)>;

// The root over the first `size` leaves.
Result<Digest> root_at(std::uint64_t size, const NodeReader& node);
// invalid_argument unless index < size, old_size <= new_size.
Result<MerkleProof> inclusion_proof(std::uint64_t index, std::uint64_t size, const NodeReader& node);
Result<MerkleProof> consistency_proof(std::uint64_t old_size, std::uint64_t new_size, const NodeReader& node);

struct TreeHead {
  std::uint64_t size = 0;
  Digest root;

  bool operator==(const TreeHead&) const = default;
};

// Whether the proof shows that the leaf stands at `index` below `head`.
bool verify_inclusion(const Digest& leaf, std::uint64_t index, const TreeHead& head, const MerkleProof& proof);
// Whether the proof shows that the newer tree begins with all of the older one. From an empty tree the proof is empty.
bool verify_consistency(const TreeHead& older, const TreeHead& newer, const MerkleProof& proof);

}  // namespace redoubt::ledger
