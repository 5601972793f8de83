// SPDX-License-Identifier: Apache-2.0
#include "model_scan/crc32.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <random>

namespace redoubt::model_scan {
namespace {

TEST(Crc32, is_that_of_the_standard) { EXPECT_EQ(crc32(0, view_of("123456789")), 0xcbf43926u); }

TEST(Crc32, is_zlibs_for_every_length_start_and_cut) {
  std::mt19937 random(1);
  Bytes bytes(5000);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  for (std::size_t length = 0; length < 400; ++length) {
    const ByteView part = ByteView(bytes).subspan(length % 17, length);
    const auto expected = static_cast<std::uint32_t>(::crc32(0, part.data(), static_cast<uInt>(part.size())));
    ASSERT_EQ(crc32(0, part), expected) << length;
    const std::size_t cut = length / 3;
    ASSERT_EQ(crc32(crc32(0, part.first(cut)), part.subspan(cut)), expected) << length;
  }
  EXPECT_EQ(crc32(0, bytes), static_cast<std::uint32_t>(::crc32(0, bytes.data(), 5000)));
}

}  // namespace
}  // namespace redoubt::model_scan
