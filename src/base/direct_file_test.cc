// SPDX-License-Identifier: Apache-2.0
#include "base/direct_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/testing_full_disk.h"

namespace redoubt {
namespace {

namespace fs = std::filesystem;

Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 0x9e3779b97f4a7c15u >> 56);
  return bytes;
}

class DirectFileTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    fs::path name = fs::path(GetParam()) / ("direct_file_test." + std::to_string(::getpid()));
    std::error_code failed;
    if (!fs::create_directory(name, failed)) GTEST_SKIP() << "no folder can be made there";
    folder_ = name;
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
  }
  Bytes contents() { return *read_file(folder_ / "file", 1 << 30); }
  std::unique_ptr<DirectFile> create() { return *DirectFile::create(folder_ / "file"); }
  fs::path folder_;
};

// Lengths on both sides of a page, of the memory and of what is written back at a time.
TEST_P(DirectFileTest, holds_what_was_written_whatever_the_lengths) {
  for (const std::size_t size : {0u, 1u, 4095u, 4096u, 4097u, (512u << 10) - 1, 512u << 10, (512u << 10) + 1, 3u << 20, (9u << 20) + 77}) {
    const Bytes bytes = pattern(size);
    {
      auto file = create();
      for (std::size_t at = 0; at < size; at += 65'552) ASSERT_TRUE(file->write(ByteView(bytes).subspan(at, std::min<std::size_t>(65'552, size - at))));
      ASSERT_TRUE(file->flush());
      EXPECT_EQ(contents(), bytes) << size;
    }
    EXPECT_EQ(contents(), bytes) << size;
  }
}

TEST_P(DirectFileTest, goes_on_after_a_flush) {
  const Bytes bytes = pattern(2'000'000);
  auto file = create();
  ASSERT_TRUE(file->write(ByteView(bytes).first(600'001)));
  ASSERT_TRUE(file->flush());
  ASSERT_TRUE(file->write(ByteView(bytes).subspan(600'001)));
  file.reset();
  EXPECT_EQ(contents(), bytes);
}

TEST_P(DirectFileTest, cuts_what_was_there_and_follows_no_link) {
  ASSERT_TRUE(write_file(folder_ / "file", pattern(100)));
  create().reset();
  EXPECT_TRUE(contents().empty());
  fs::create_symlink(folder_ / "file", folder_ / "link");
  EXPECT_FALSE(DirectFile::create(folder_ / "link"));
}

TEST_P(DirectFileTest, keeps_no_part_of_a_piece_that_does_not_go_in_whole) {
  {
    const FullDisk full(700 << 10);
    EXPECT_FALSE(create()->write(pattern(2 << 20)));
  }
  EXPECT_EQ(fs::file_size(folder_ / "file"), 512u << 10);
}

// A disk's file system, where direct writing is real, and one in memory.
INSTANTIATE_TEST_SUITE_P(Places, DirectFileTest, ::testing::Values("/var/tmp", "/dev/shm"));

TEST(DirectFileErrors, names_the_file_on_a_full_disk) {
  auto full = DirectFile::create("/dev/full");
  ASSERT_TRUE(full);
  ASSERT_TRUE((*full)->write(pattern(10)));
  const auto flushed = (*full)->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(flushed.error().where, "/dev/full");
  for (int i = 0; i < 10; ++i) EXPECT_FALSE((*full)->write(pattern(100'000)));
}

}  // namespace
}  // namespace redoubt
