// SPDX-License-Identifier: Apache-2.0
#include "vault/rewrap.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "provider/testing/fake_kms.h"
#include "vault/sealed_file.h"

namespace redoubt::vault {
namespace {

class RewrapTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(kms_.create_key("fake:default"));
    ASSERT_TRUE(file_.write(view_of("some state")));
  }
  Bytes bytes() const { return *read_file(path_, 1 << 20); }

  provider::testing::FakeKms kms_;
  TemporaryFolder folder_ = *TemporaryFolder::create();
  std::filesystem::path path_ = folder_.path() / "file";
  SealingKey key_{&kms_, "fake:default"};
  SealedFile file_{path_, key_, {{"kind", "state"}, {"name", "file"}}};
};

TEST_F(RewrapTest, the_wrapping_changes_and_nothing_else) {
  const Bytes before = bytes();
  EXPECT_TRUE(*rewrap_file(path_, key_, [](ByteView) { return false; }));
  const Bytes after = bytes();
  EXPECT_NE(before, after);
  const auto old_header = *parse_header(before), new_header = *parse_header(after);
  EXPECT_EQ(bound_part(old_header.header), bound_part(new_header.header));
  EXPECT_NE(old_header.header.wrapped_key, new_header.header.wrapped_key);
  EXPECT_EQ(Bytes(before.begin() + static_cast<std::ptrdiff_t>(old_header.size), before.end()), Bytes(after.begin() + static_cast<std::ptrdiff_t>(new_header.size), after.end()));
  EXPECT_EQ(to_text(*file_.read()), "some state");
  EXPECT_EQ(*sealed_digest(before), *sealed_digest(after));
}

TEST_F(RewrapTest, a_current_wrapping_stays) {
  const Bytes before = bytes();
  EXPECT_FALSE(*rewrap_file(path_, key_, [](ByteView) { return true; }));
  EXPECT_EQ(bytes(), before);
}

TEST_F(RewrapTest, another_writing_of_the_same_state_has_another_digest) {
  const auto first = *sealed_digest(bytes());
  ASSERT_TRUE(file_.write(view_of("some state")));
  EXPECT_NE(*sealed_digest(bytes()), first);
}

TEST_F(RewrapTest, what_does_not_open_is_tampered_and_stays) {
  Bytes changed = bytes();
  changed[0] ^= 1;
  ASSERT_TRUE(write_file(path_, ByteView(changed)));
  EXPECT_EQ(rewrap_file(path_, key_, [](ByteView) { return false; }).error().code, ErrorCode::tampered);
  EXPECT_EQ(bytes(), changed);
  ASSERT_TRUE(file_.write(view_of("some state")));
  SealingKey other{&kms_, "fake:other"};
  EXPECT_EQ(rewrap_file(path_, other, [](ByteView) { return false; }).error().code, ErrorCode::tampered);
}

}  // namespace
}  // namespace redoubt::vault
