// SPDX-License-Identifier: Apache-2.0
#include "base/background_sink.h"

#include <gtest/gtest.h>

#include <random>

namespace redoubt {
namespace {

class BreakingSink final : public Sink {
 public:
  explicit BreakingSink(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  Status write(ByteView bytes) override {
    if (bytes_ + bytes.size() > bytes_max_) return fail(ErrorCode::limit_exceeded, "the disk is full");
    bytes_ += bytes.size();
    return {};
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_max_, bytes_ = 0;
};

TEST(BackgroundSink, writes_the_same_bytes_in_their_order) {
  std::mt19937 draw(1);
  MemorySink memory;
  Bytes expected;
  {
    BackgroundSink sink(memory);
    for (int i = 0; i < 300; ++i) {
      Bytes piece(draw() % (i % 10 == 0 ? 2'000'000 : 20'000));
      for (auto& byte : piece) byte = static_cast<std::uint8_t>(draw());
      expected.insert(expected.end(), piece.begin(), piece.end());
      ASSERT_TRUE(sink.write(piece));
      if (i % 97 == 0) {
        ASSERT_TRUE(sink.flush());
      }
    }
    ASSERT_TRUE(sink.flush());
    ASSERT_TRUE(sink.flush());  // nothing is written twice
  }
  EXPECT_TRUE(memory.take() == expected);
}

TEST(BackgroundSink, an_error_reaches_who_writes_and_nothing_is_written_after_it) {
  BreakingSink into(3 * BackgroundSink::kBufferBytes);
  BackgroundSink sink(into);
  const Bytes piece(BackgroundSink::kBufferBytes);
  Status written;
  for (int i = 0; i < 100 && written; ++i) written = sink.write(piece);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::limit_exceeded);
  EXPECT_FALSE(sink.flush());
  EXPECT_EQ(into.bytes(), 3 * BackgroundSink::kBufferBytes);
}

TEST(BackgroundSink, an_error_of_the_last_bytes_is_that_of_the_flush) {
  BreakingSink into(10);
  BackgroundSink sink(into);
  EXPECT_TRUE(sink.write(Bytes(11)));
  EXPECT_FALSE(sink.flush());
}

TEST(BackgroundSink, ends_without_a_flush) {
  BreakingSink into(10);
  BackgroundSink sink(into);
  EXPECT_TRUE(sink.write(Bytes(5)));
}

}  // namespace
}  // namespace redoubt
