// SPDX-License-Identifier: Apache-2.0
//
// The leaves, roots and proofs are the ones of Certificate Transparency's reference implementation.
#include "ledger/merkle.h"

#include <gtest/gtest.h>

#include "base/check.h"

namespace redoubt::ledger {
namespace {

Digest digest(const char* hex) { return *Digest::parse(hex); }

std::vector<Digest> reference_leaves() {
  std::vector<Digest> hashes;
  for (const char* leaf :
       {"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}) {
    hashes.push_back(leaf_hash(*from_hex(leaf)));
  }
  return hashes;
}

const char* const kRoots[] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                              "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                              "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                              "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                              "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                              "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                              "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                              "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                              "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

NodeReader nodes_of(const std::vector<Digest>& leaves) {
  return [&leaves](unsigned level, std::uint64_t index) -> Result<Digest> {
    const auto first = index << level, count = std::uint64_t{1} << level;
    CHECK(first + count <= leaves.size());
    return root_of_leaves({leaves.begin() + static_cast<long>(first), leaves.begin() + static_cast<long>(first + count)});
  };
}

TEST(Merkle, roots_are_those_of_the_reference) {
  const auto leaves = reference_leaves();
  for (std::size_t size = 0; size <= 8; ++size) {
    EXPECT_EQ(root_of_leaves({leaves.begin(), leaves.begin() + static_cast<long>(size)}).hex(), kRoots[size]);
    EXPECT_EQ(root_at(size, nodes_of(leaves))->hex(), kRoots[size]);
  }
}

TEST(Merkle, inclusion_proofs_are_those_of_the_reference) {
  struct Case {
    std::uint64_t index, size;
    MerkleProof proof;
  };
  const auto leaves = reference_leaves();
  for (const auto& [index, size, proof] : {
           Case{0, 1, {}},
           Case{0,
                8,
                {digest("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"),
                 digest("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"),
                 digest("6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4")}},
           Case{5,
                8,
                {digest("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"),
                 digest("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"),
                 digest("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7")}},
           Case{2, 3, {digest("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125")}},
           Case{1,
                5,
                {digest("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
                 digest("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"),
                 digest("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b")}},
       }) {
    EXPECT_EQ(*inclusion_proof(index, size, nodes_of(leaves)), proof);
    EXPECT_TRUE(verify_inclusion(leaves[index], index, {size, digest(kRoots[size])}, proof));
  }
}

TEST(Merkle, consistency_proofs_are_those_of_the_reference) {
  struct Case {
    std::uint64_t older, newer;
    MerkleProof proof;
  };
  const auto leaves = reference_leaves();
  for (const auto& [older, newer, proof] : {
           Case{1, 1, {}},
           Case{1,
                8,
                {digest("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"),
                 digest("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"),
                 digest("6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4")}},
           Case{6,
                8,
                {digest("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"),
                 digest("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"),
                 digest("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7")}},
           Case{2,
                5,
                {digest("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"),
                 digest("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b")}},
       }) {
    EXPECT_EQ(*consistency_proof(older, newer, nodes_of(leaves)), proof);
    EXPECT_TRUE(verify_consistency({older, digest(kRoots[older])}, {newer, digest(kRoots[newer])}, proof));
  }
}

TEST(Merkle, every_proof_verifies_and_none_does_after_a_change) {
  std::vector<Digest> leaves;
  for (int i = 0; i < 40; ++i) leaves.push_back(leaf_hash(view_of(std::to_string(i))));
  const auto nodes = nodes_of(leaves);
  for (std::uint64_t size = 1; size <= leaves.size(); ++size) {
    const TreeHead head{size, *root_at(size, nodes)};
    for (std::uint64_t index = 0; index < size; ++index) {
      auto proof = *inclusion_proof(index, size, nodes);
      ASSERT_TRUE(verify_inclusion(leaves[index], index, head, proof));
      EXPECT_FALSE(verify_inclusion(leaves[(index + 1) % 40], index, head, proof));
      EXPECT_FALSE(size > 1 && verify_inclusion(leaves[index], (index + 1) % size, head, proof));
      EXPECT_FALSE(verify_inclusion(leaves[index], size, head, proof));
      proof.push_back(proof.empty() ? Digest{} : proof.back());
      EXPECT_FALSE(verify_inclusion(leaves[index], index, head, proof));
      proof.pop_back();
      for (auto& hash : proof) {
        hash.value[7] ^= 1;
        EXPECT_FALSE(verify_inclusion(leaves[index], index, head, proof));
        hash.value[7] ^= 1;
      }
    }
    for (std::uint64_t old_size = 0; old_size <= size; ++old_size) {
      const TreeHead older{old_size, *root_at(old_size, nodes)};
      auto proof = *consistency_proof(old_size, size, nodes);
      ASSERT_TRUE(verify_consistency(older, head, proof)) << old_size << " " << size;
      TreeHead other = older;
      other.root.value[0] ^= 1;
      EXPECT_FALSE(verify_consistency(other, head, proof));
      for (auto& hash : proof) {
        hash.value[31] ^= 0x80;
        EXPECT_FALSE(verify_consistency(older, head, proof));
        hash.value[31] ^= 0x80;
      }
    }
  }
  EXPECT_FALSE(inclusion_proof(3, 3, nodes));
  EXPECT_FALSE(consistency_proof(4, 3, nodes));
}

}  // namespace
}  // namespace redoubt::ledger
