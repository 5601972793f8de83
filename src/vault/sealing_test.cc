// SPDX-License-Identifier: Apache-2.0
#include "vault/sealing.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/memory_object.h"
#include "crypto/aes_gcm.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "provider/testing/failing.h"
#include "provider/testing/fake_kms.h"

namespace redoubt::vault {
namespace {

constexpr std::uint8_t kSmallBits = 12;
constexpr std::size_t kSmall = 1 << kSmallBits;

class Sealing : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(kms_.create_key(key_.uri)); }

  Bytes seal(ByteView plain, std::uint8_t bits = kSmallBits) {
    MemorySink out;
    auto sink = *SealingSink::create(key_, context_, out, bits);
    EXPECT_TRUE(sink->write(plain));
    EXPECT_TRUE(sink->finish());
    return out.take();
  }

  Result<Bytes> open(Bytes sealed) { return open_bytes(key_, context_, sealed, 64 << 20); }

  ErrorCode refusal(Bytes sealed) {
    const auto opened = open(std::move(sealed));
    EXPECT_FALSE(opened.has_value());
    return opened ? ErrorCode::internal : opened.error().code;
  }

  provider::testing::FakeKms kms_;
  SealingKey key_{&kms_, "fake:default"};
  provider::EncryptionContext context_{{"workspace", "w"}, {"kind", "blob"}, {"name", "n"}};
};

TEST_F(Sealing, round_trips_every_size_around_the_edges_of_chunks) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, kSmall - 1, kSmall, kSmall + 1, 2 * kSmall, 3 * kSmall + 7}) {
    const auto plain = crypto::random_bytes(size);
    EXPECT_EQ(*open(seal(plain)), plain) << size;
  }
}

TEST_F(Sealing, writing_in_any_pieces_and_pulling_give_objects_that_open_alike) {
  const auto plain = crypto::random_bytes(5 * kSmall + 3);
  MemorySink out;
  auto sink = *SealingSink::create(key_, context_, out, kSmallBits);
  for (std::size_t at = 0; at < plain.size(); at += 777) {
    ASSERT_TRUE(sink->write(ByteView(plain).subspan(at, std::min<std::size_t>(777, plain.size() - at))));
  }
  ASSERT_TRUE(sink->finish());
  EXPECT_EQ(*open(out.take()), plain);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kSmall, 2 * kSmall, plain.size()}) {
    MemorySource from(ByteView(plain).first(size));
    auto source = *SealingSource::create(key_, context_, from, kSmallBits);
    EXPECT_EQ(*open(*read_all(*source, 1 << 20)), Bytes(plain.begin(), plain.begin() + static_cast<std::ptrdiff_t>(size)));
  }
}

TEST_F(Sealing, every_flipped_byte_of_a_small_object_is_tampered) {
  const auto sealed = seal(view_of("forty-two"));
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    for (const int bit : {0x01, 0x80}) {
      auto changed = sealed;
      changed[i] ^= static_cast<std::uint8_t>(bit);
      EXPECT_EQ(refusal(std::move(changed)), ErrorCode::tampered) << "byte " << i;
    }
  }
}

TEST_F(Sealing, every_truncation_is_tampered) {
  const auto sealed = seal(crypto::random_bytes(2 * kSmall));
  const std::size_t header = parse_header(sealed)->size;
  for (std::size_t size = 0; size <= header + 40; ++size) {
    EXPECT_EQ(refusal(Bytes(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(size))), ErrorCode::tampered)
        << size;
  }
  for (std::size_t chunk = 0; chunk < 2; ++chunk) {
    const std::size_t edge = header + chunk * (kSmall + crypto::kAesGcmTagBytes);
    for (const std::size_t size : {edge - 1, edge, edge + 1, edge + crypto::kAesGcmTagBytes, edge + kSmall}) {
      EXPECT_EQ(refusal(Bytes(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(size))), ErrorCode::tampered)
          << size;
    }
  }
}

TEST_F(Sealing, swapped_dropped_repeated_and_appended_chunks_are_tampered) {
  const auto sealed = seal(crypto::random_bytes(4 * kSmall));
  const auto header = static_cast<std::ptrdiff_t>(parse_header(sealed)->size);
  const auto chunk = static_cast<std::ptrdiff_t>(kSmall + crypto::kAesGcmTagBytes);
  auto swapped = sealed;
  std::swap_ranges(swapped.begin() + header, swapped.begin() + header + chunk, swapped.begin() + header + chunk);
  EXPECT_EQ(refusal(swapped), ErrorCode::tampered);
  auto dropped = sealed;
  dropped.erase(dropped.begin() + header, dropped.begin() + header + chunk);
  EXPECT_EQ(refusal(dropped), ErrorCode::tampered);
  auto repeated = sealed;
  repeated.insert(repeated.end(), sealed.end() - chunk, sealed.end());
  EXPECT_EQ(refusal(repeated), ErrorCode::tampered);
  auto extended = sealed;
  extended.push_back(0);
  EXPECT_EQ(refusal(extended), ErrorCode::tampered);
}

TEST_F(Sealing, chunks_of_another_object_under_the_same_key_are_tampered) {
  auto one = seal(crypto::random_bytes(2 * kSmall));
  const auto other = seal(crypto::random_bytes(2 * kSmall));
  std::copy(other.begin() + 400, other.end(), one.begin() + 400);
  EXPECT_EQ(refusal(one), ErrorCode::tampered);
}

TEST_F(Sealing, open_fails_when_the_context_or_the_key_differs) {
  const auto sealed = seal(view_of("text"));
  auto other = context_;
  other["name"] = "m";
  EXPECT_EQ(open_bytes(key_, other, sealed, 100).error().code, ErrorCode::tampered);
  ASSERT_TRUE(kms_.create_key("fake:other"));
  EXPECT_EQ(open_bytes({&kms_, "fake:other"}, context_, sealed, 100).error().code, ErrorCode::tampered);
}

TEST_F(Sealing, rotation_keeps_old_objects_readable_and_destruction_does_not) {
  const auto sealed = seal(view_of("text"));
  ASSERT_TRUE(kms_.rotate_key(key_.uri));
  EXPECT_EQ(to_text(*open(sealed)), "text");
  ASSERT_TRUE(kms_.destroy_key(key_.uri));
  EXPECT_EQ(refusal(sealed), ErrorCode::not_found);
}

TEST_F(Sealing, random_reads_from_several_threads_agree_with_the_plaintext) {
  const auto plain = crypto::random_bytes(9 * kSmall + 11);
  const auto reader = *SealedReader::open(std::make_unique<MemoryObject>(seal(plain)), key_, context_);
  ASSERT_EQ(reader->size(), plain.size());
  const auto work = [&](std::size_t seed) {
    for (std::size_t i = 0; i < 300; ++i) {
      const std::size_t offset = (seed * 7919 + i * 104729) % plain.size();
      const std::size_t size = std::min((i * 613) % (3 * kSmall), plain.size() - offset);
      Bytes part(size);
      ASSERT_TRUE(reader->read_at(offset, part));
      ASSERT_TRUE(std::equal(part.begin(), part.end(), plain.begin() + static_cast<std::ptrdiff_t>(offset)));
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) threads.emplace_back(work, t);
  for (auto& thread : threads) thread.join();
  Bytes beyond(2);
  EXPECT_EQ(reader->read_at(plain.size() - 1, beyond).error().code, ErrorCode::invalid_argument);
}

TEST_F(Sealing, a_failing_kms_leaves_nothing_sealed) {
  provider::testing::FailurePoint point(1);
  provider::testing::FailingKms failing(kms_, point);
  EXPECT_EQ(seal_bytes({&failing, key_.uri}, context_, view_of("x")).error().code, ErrorCode::unavailable);
}

TEST_F(Sealing, the_plaintext_does_not_appear_in_the_object) {
  const std::string plain = "a sentence that must not rest in clear";
  EXPECT_EQ(to_text(seal(view_of(plain))).find(plain.substr(0, 8)), std::string::npos);
}

// Makes bytes as they are asked for: a large stream without large memory.
class Pattern final : public Source {
 public:
  explicit Pattern(std::uint64_t size) : left_(size) {}
  Result<std::size_t> read(MutableByteView into) override {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), left_));
    for (std::size_t i = 0; i < count; ++i) into[i] = static_cast<std::uint8_t>((left_ - i) * 2654435761U >> 13);
    left_ -= count;
    return count;
  }

 private:
  std::uint64_t left_;
};

class CountingSink final : public Sink {
 public:
  Status write(ByteView bytes) override {
    largest = std::max(largest, bytes.size());
    total += bytes.size();
    return {};
  }
  std::size_t largest = 0;
  std::uint64_t total = 0;
};

TEST_F(Sealing, a_stream_of_100_megabytes_passes_in_pieces_of_one_chunk) {
  constexpr std::uint64_t kSize = 100'000'000;
  CountingSink out;
  auto sink = *SealingSink::create(key_, context_, out);
  Pattern from(kSize);
  ASSERT_TRUE(copy(from, *sink));
  ASSERT_TRUE(sink->finish());
  EXPECT_LE(out.largest, (std::size_t{1} << kChunkBitsDefault) + crypto::kAesGcmTagBytes);
  const std::uint64_t chunks = (kSize + 65535) / 65536;
  EXPECT_GT(out.total, kSize + chunks * crypto::kAesGcmTagBytes);
  EXPECT_LT(out.total, kSize + chunks * crypto::kAesGcmTagBytes + 1024);
}

}  // namespace
}  // namespace redoubt::vault
