// SPDX-License-Identifier: Apache-2.0
#include "crypto/paired_hash.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

namespace redoubt::crypto {
namespace {

constexpr std::size_t kPiece = HashPairing::kPieceBytes;

Bytes some(std::size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

Digest digest_of(HashPairing& pairing, ByteView bytes) {
  PairedSha256 hash(pairing);
  Bytes piece;
  for (; bytes.size() >= kPiece; bytes = bytes.subspan(kPiece)) {
    piece.assign(bytes.begin(), bytes.begin() + kPiece);
    hash.update(piece);
    EXPECT_TRUE(piece.empty());
  }
  return hash.finish(bytes);
}

TEST(Sha256Lanes, ends_a_message_of_every_length_as_openssl_does) {
  if (!has_sha256_lanes()) GTEST_SKIP() << "this processor has no SHA extensions";
  const Bytes bytes = some(1000, 1);
  for (std::size_t size = 0; size <= bytes.size(); ++size) EXPECT_EQ(sha256_end({}, 0, ByteView(bytes).first(size)), sha256(ByteView(bytes).first(size))) << size;
}

// FIPS 180-4's example of one block, and of two.
TEST(Sha256Lanes, match_fips_180_4) {
  if (!has_sha256_lanes()) GTEST_SKIP() << "this processor has no SHA extensions";
  EXPECT_EQ(sha256_end({}, 0, view_of("abc")).hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_end({}, 0, view_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).hex(), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(Sha256Lanes, keep_two_messages_apart) {
  if (!has_sha256_lanes()) GTEST_SKIP() << "this processor has no SHA extensions";
  const Bytes one = some(64 * 77, 2), two = some(64 * 77, 3);
  Sha256Words first, second, again;
  sha256_blocks_of_two(first, one, second, two);
  EXPECT_EQ(sha256_end(first, one.size(), {}), sha256(one));
  EXPECT_EQ(sha256_end(second, two.size(), {}), sha256(two));
  sha256_blocks(again, one);
  EXPECT_EQ(again.h, first.h);
}

TEST(PairedSha256, one_message_needs_no_other) {
  HashPairing pairing;
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kPiece - 1, kPiece, kPiece + 1, 5 * kPiece, 7 * kPiece + 12'345}) {
    const Bytes bytes = some(size, 4);
    EXPECT_EQ(digest_of(pairing, bytes), sha256(bytes)) << size;
  }
}

// Each piece of the one meets one of the other that waits, so here it is certain that they are hashed in pairs.
TEST(PairedSha256, two_in_turn_have_their_own_digests) {
  HashPairing pairing;
  const Bytes bytes[] = {some(9 * kPiece + 3, 5), some(6 * kPiece + 99, 6)};
  PairedSha256 first(pairing), second(pairing);
  Bytes piece;
  const auto feed = [&](PairedSha256& hash, const Bytes& all, std::size_t number) {
    piece.assign(all.begin() + static_cast<std::ptrdiff_t>(number * kPiece), all.begin() + static_cast<std::ptrdiff_t>((number + 1) * kPiece));
    hash.update(piece);
  };
  for (std::size_t number = 0; number < 9; ++number) {
    feed(first, bytes[0], number);
    if (number < 6) feed(second, bytes[1], number);
  }
  EXPECT_EQ(first.finish(ByteView(bytes[0]).subspan(9 * kPiece)), sha256(bytes[0]));
  EXPECT_EQ(second.finish(ByteView(bytes[1]).subspan(6 * kPiece)), sha256(bytes[1]));
}

TEST(PairedSha256, many_at_once_from_threads_have_their_own_digests) {
  HashPairing pairing;
  std::vector<Bytes> messages;
  for (unsigned i = 0; i < 12; ++i) messages.push_back(some((i * 5 % 23) * kPiece + i * 1000, 100 + i));
  std::vector<Digest> digests(messages.size());
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::size_t i = thread; i < messages.size(); i += 4) digests[i] = digest_of(pairing, messages[i]);
    });
  }
  for (auto& thread : threads) thread.join();
  for (std::size_t i = 0; i < messages.size(); ++i) EXPECT_EQ(digests[i], sha256(messages[i])) << i;
}

TEST(PairedSha256, a_message_that_ends_early_leaves_the_others_whole) {
  HashPairing pairing;
  const Bytes bytes = some(8 * kPiece, 7);
  std::thread others([&] {
    for (unsigned i = 0; i < 50; ++i) {
      PairedSha256 dropped(pairing);
      Bytes piece = some(kPiece, i);
      dropped.update(piece);
    }
  });
  for (int round = 0; round < 5; ++round) EXPECT_EQ(digest_of(pairing, bytes), sha256(bytes));
  others.join();
}

}  // namespace
}  // namespace redoubt::crypto
