// SPDX-License-Identifier: Apache-2.0
#include "ledger/note.h"

#include <gtest/gtest.h>

#include "ledger/checkpoint.h"
#include "ledger/layout.h"
#include "ledger/tlog_proof.h"

namespace redoubt::ledger {
namespace {

using crypto::SignatureAlgorithm;
using crypto::SigningKey;

// The example of Go's golang.org/x/mod/sumdb/note.
constexpr const char* kVerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
constexpr const char* kText =
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n";
constexpr const char* kSignature =
    "\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

TEST(Note, opens_the_published_example) {
  const auto key = parse_note_key(kVerifierKey);
  ASSERT_TRUE(key);
  EXPECT_EQ(to_text(*key), kVerifierKey);
  const auto text = open_note(std::string(kText) + kSignature, *key, "example");
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(*text, kText);
}

TEST(Note, every_changed_bit_is_tampered) {
  const auto key = *parse_note_key(kVerifierKey);
  const auto good = std::string(kText) + kSignature;
  for (std::size_t at = 0; at < good.size() * 8; ++at) {
    auto bad = good;
    bad[at / 8] = static_cast<char>(bad[at / 8] ^ (1 << (at % 8)));
    const auto text = open_note(bad, key, "example");
    ASSERT_FALSE(text) << at;
    EXPECT_EQ(text.error().code, ErrorCode::tampered);
  }
}

TEST(Note, signatures_of_others_are_ignored_but_ours_must_be_there) {
  const auto key = SigningKey::generate(SignatureAlgorithm::ed25519);
  const NoteKey ours{"redoubt.local/a", key.public_key()};
  const auto note = sign_note("text\n", "redoubt.local/a", key);
  EXPECT_TRUE(open_note(note + std::string(kSignature).substr(1), ours, "n"));
  EXPECT_FALSE(open_note("text\n" + std::string(kSignature), ours, "n"));
  EXPECT_FALSE(open_note(note, {"redoubt.local/b", key.public_key()}, "n"));
}

TEST(Note, malformed_notes_are_refused) {
  const auto line = std::string(kSignature).substr(1);
  for (const auto& bad : std::vector<std::string>{
           "", "\n", "text\n", "text\n\n", "text\n\nno signature\n", "text\n" + line,
           "text\n\n" + line.substr(0, line.size() - 1), "te\rxt\n\n" + line, std::string("te\0xt\n\n", 7) + line,
           "te\xff\n\n" + line, "te\xed\xa0\x80\n\n" + line, "text\n\n\u2014 a+b AAAAAAA=\n", "text\n\n\u2014  AAAAAAA=\n",
           "text\n\n\u2014 a AAAA\n", "text\n\n\u2014 a AAAA AAA=\n"}) {
    EXPECT_FALSE(parse_note(bad, "n")) << bad;
  }
  std::string many = "text\n\n";
  for (int i = 0; i < 16; ++i) many += line;
  EXPECT_TRUE(parse_note(many, "n"));
  EXPECT_EQ(parse_note(many + line, "n").error().code, ErrorCode::limit_exceeded);
}

TEST(Note, verifier_keys_are_read_strictly) {
  for (const char* bad : {"", "a", "a+b", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                          "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                          "PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
                          "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"}) {
    EXPECT_FALSE(parse_note_key(bad)) << bad;
  }
}

TEST(Checkpoint, takes_nothing_but_the_three_lines_and_one_signature) {
  const auto key = SigningKey::generate(SignatureAlgorithm::ed25519);
  const NoteKey ours{"redoubt.local/a", key.public_key()};
  const auto root = to_base64(empty_root().bytes());
  EXPECT_TRUE(open_checkpoint(sign_note("redoubt.local/a\n7\n" + root + "\n", ours.name, key), ours, "c"));
  for (const auto& text :
       std::vector<std::string>{"redoubt.local/b\n7\n" + root + "\n", "redoubt.local/a\n07\n" + root + "\n",
                                "redoubt.local/a\n+7\n" + root + "\n", "redoubt.local/a\n7\n" + root + "\nmore\n",
                                "redoubt.local/a\n7\n", "redoubt.local/a\n\n" + root + "\n", "redoubt.local/a\n7\nAAAA\n",
                                "redoubt.local/a\n99999999999999999999\n" + root + "\n"}) {
    const auto opened = open_checkpoint(sign_note(text, ours.name, key), ours, "c");
    ASSERT_FALSE(opened) << text;
    EXPECT_EQ(opened.error().code, ErrorCode::tampered);
  }
  const auto signed_once = sign_checkpoint(ours.name, {0, empty_root()}, key).note;
  EXPECT_TRUE(open_checkpoint(signed_once, ours, "c"));
  EXPECT_FALSE(open_checkpoint(signed_once + std::string(kSignature).substr(1), ours, "c"));
}

// The names are the examples of C2SP tlog-tiles.
TEST(Layout, paths_are_those_of_the_specification) {
  EXPECT_EQ(tile_path(0, 1234067, 256), "tile/0/x001/x234/067");
  EXPECT_EQ(bundle_path(0, 5), "tile/entries/000.p/5");
  // 70,000 entries: 273 full tiles and one of width 112, one full and one of width 17, one of width 1.
  const auto tiles = tiles_of(70'000);
  EXPECT_EQ(tiles.size(), 273u + 1 + 1 + 1 + 1);
  EXPECT_EQ(tiles[273].width, 112u);
  EXPECT_EQ(tiles[274].width, 256u);
  EXPECT_EQ(tiles[275].width, 17u);
  EXPECT_EQ(tiles[276].level, 2u);
  EXPECT_EQ(tiles[276].width, 1u);
  EXPECT_EQ(tiles_of(256).size(), 2u);
}

TEST(Layout, bundles_are_split_strictly) {
  Bytes bundle;
  append_to_bundle(bundle, view_of("one"));
  append_to_bundle(bundle, {});
  EXPECT_EQ(text_of((*split_bundle(bundle, 2, "b"))[0]), "one");
  EXPECT_FALSE(split_bundle(bundle, 1, "b"));
  EXPECT_FALSE(split_bundle(bundle, 3, "b"));
  bundle.push_back(0);
  EXPECT_FALSE(split_bundle(bundle, 2, "b"));
  EXPECT_FALSE(split_bundle(bundle, 3, "b"));
}

TEST(TlogProof, is_written_and_read_in_the_published_form) {
  const auto key = SigningKey::generate(SignatureAlgorithm::ed25519);
  const NoteKey ours{"redoubt.local/a", key.public_key()};
  const std::vector<Digest> leaves{leaf_hash(view_of("a")), leaf_hash(view_of("b")), leaf_hash(view_of("c"))};
  const auto checkpoint = sign_checkpoint(ours.name, {3, root_of_leaves(leaves)}, key);
  const TlogProof proof{2, {node_hash(leaves[0], leaves[1])}, checkpoint.note};
  const auto text = to_text(proof);
  EXPECT_TRUE(text.starts_with("c2sp.org/tlog-proof@v1\nindex 2\n" + to_base64(proof.hashes[0].bytes()) +
                               "\n\nredoubt.local/a\n3\n"));
  EXPECT_EQ(*parse_tlog_proof(text, "p"), proof);
  EXPECT_TRUE(verify_tlog_proof(proof, view_of("c"), ours, "p"));
  EXPECT_EQ(verify_tlog_proof(proof, view_of("b"), ours, "p").error().code, ErrorCode::tampered);
  for (std::size_t at = 0; at < text.size(); ++at) {
    auto bad = text;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
    const auto parsed = parse_tlog_proof(bad, "p");
    EXPECT_FALSE(parsed && verify_tlog_proof(*parsed, view_of("c"), ours, "p")) << at;
  }
}

}  // namespace
}  // namespace redoubt::ledger
