// SPDX-License-Identifier: Apache-2.0
#include "ledger/merkle.h"

#include <bit>

#include "base/check.h"
#include "crypto/hash.h"

namespace redoubt::ledger {
namespace {

constexpr std::uint8_t kLeafPrefix[] = {0x00};
constexpr std::uint8_t kNodePrefix[] = {0x01};

bool is_odd(std::uint64_t number) { return (number & 1) != 0; }

// A run of leaves as the recursion of RFC 6962 meets them: `begin` is a multiple of the largest power of two in `count`.
struct Range {
  std::uint64_t begin, count;

  std::uint64_t split() const { return std::bit_floor(count - 1); }  // the largest power of two below count
  Range left() const { return {begin, split()}; }
  Range right() const { return {begin + split(), count - split()}; }
};

Result<Digest> hash_of(Range range, const NodeReader& node) {
  CHECK(range.count > 0);
  if (std::has_single_bit(range.count)) {
    const auto level = static_cast<unsigned>(std::countr_zero(range.count));
    return node(level, range.begin >> level);
  }
  const auto left = TRY(hash_of(range.left(), node));
  return node_hash(left, TRY(hash_of(range.right(), node)));
}

// PATH of RFC 6962 section 2.1.1.
Status add_path(std::uint64_t index, Range range, const NodeReader& node, MerkleProof& proof) {
  if (range.count == 1) return {};
  const bool is_left = index < range.split();
  TRY(is_left ? add_path(index, range.left(), node, proof) : add_path(index - range.split(), range.right(), node, proof));
  proof.push_back(TRY(hash_of(is_left ? range.right() : range.left(), node)));
  return {};
}

// SUBPROOF of RFC 6962 section 2.1.2; `complete` says that the old tree's root over this range is known to the verifier.
Status add_subproof(std::uint64_t old_count, Range range, bool complete, const NodeReader& node, MerkleProof& proof) {
  if (old_count == range.count) {
    if (!complete) proof.push_back(TRY(hash_of(range, node)));
    return {};
  }
  if (old_count <= range.split()) {
    TRY(add_subproof(old_count, range.left(), complete, node, proof));
    proof.push_back(TRY(hash_of(range.right(), node)));
  } else {
    TRY(add_subproof(old_count - range.split(), range.right(), false, node, proof));
    proof.push_back(TRY(hash_of(range.left(), node)));
  }
  return {};
}

}  // namespace

Digest leaf_hash(ByteView entry) { return crypto::Sha256().update(ByteView(kLeafPrefix)).update(entry).finish(); }

Digest node_hash(const Digest& left, const Digest& right) {
  return crypto::Sha256().update(ByteView(kNodePrefix)).update(left.bytes()).update(right.bytes()).finish();
}

Digest empty_root() { return crypto::sha256(ByteView()); }

Digest root_of_leaves(const std::vector<Digest>& leaf_hashes) {
  if (leaf_hashes.empty()) return empty_root();
  // Level by level; an unpaired last hash moves up as it is, which is the split at the largest power of two.
  std::vector<Digest> level = leaf_hashes;
  while (level.size() > 1) {
    std::size_t out = 0;
    for (std::size_t i = 0; i + 1 < level.size(); i += 2) level[out++] = node_hash(level[i], level[i + 1]);
    if (is_odd(level.size())) level[out++] = level.back();
    level.resize(out);
  }
  return level.front();
}

Result<Digest> root_at(std::uint64_t size, const NodeReader& node) {
  if (size == 0) return empty_root();
  return hash_of({0, size}, node);
}

Result<MerkleProof> inclusion_proof(std::uint64_t index, std::uint64_t size, const NodeReader& node) {
  if (index >= size) return fail(ErrorCode::invalid_argument, "there is no such entry in a tree of that size");
  MerkleProof proof;
  TRY(add_path(index, {0, size}, node, proof));
  return proof;
}

Result<MerkleProof> consistency_proof(std::uint64_t old_size, std::uint64_t new_size, const NodeReader& node) {
  if (old_size > new_size) return fail(ErrorCode::invalid_argument, "the older tree is larger than the newer");
  MerkleProof proof;
  if (old_size > 0) TRY(add_subproof(old_size, {0, new_size}, true, node, proof));
  return proof;
}

bool verify_inclusion(const Digest& leaf, std::uint64_t index, const TreeHead& head, const MerkleProof& proof) {
  if (index >= head.size) return false;
  std::uint64_t at = index, last = head.size - 1;
  Digest hash = leaf;
  for (const auto& sibling : proof) {
    if (last == 0) return false;
    if (is_odd(at) || at == last) {
      hash = node_hash(sibling, hash);
      while (!is_odd(at) && at != 0) at >>= 1, last >>= 1;
    } else {
      hash = node_hash(hash, sibling);
    }
    at >>= 1, last >>= 1;
  }
  return last == 0 && hash == head.root;
}

bool verify_consistency(const TreeHead& older, const TreeHead& newer, const MerkleProof& proof) {
  if (older.size > newer.size) return false;
  if (older.size == newer.size) return proof.empty() && older.root == newer.root;
  if (older.size == 0) return proof.empty() && older.root == empty_root();
  if (proof.empty()) return false;
  // Where the old tree is one complete subtree, its root is the first hash and the proof leaves it out.
  const bool starts_with_root = std::has_single_bit(older.size);
  Digest old_hash = starts_with_root ? older.root : proof.front();
  Digest new_hash = old_hash;
  std::uint64_t at = older.size - 1, last = newer.size - 1;
  while (is_odd(at)) at >>= 1, last >>= 1;
  for (std::size_t i = starts_with_root ? 0 : 1; i < proof.size(); ++i) {
    if (last == 0) return false;
    if (is_odd(at) || at == last) {
      old_hash = node_hash(proof[i], old_hash);
      new_hash = node_hash(proof[i], new_hash);
      while (!is_odd(at) && at != 0) at >>= 1, last >>= 1;
    } else {
      new_hash = node_hash(new_hash, proof[i]);
    }
    at >>= 1, last >>= 1;
  }
  return last == 0 && old_hash == older.root && new_hash == newer.root;
}

}  // namespace redoubt::ledger
