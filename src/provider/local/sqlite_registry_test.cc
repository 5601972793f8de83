// SPDX-License-Identifier: Apache-2.0
#include "provider/local/sqlite_registry.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace redoubt::provider::local {
namespace {

class SqliteRegistryTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_ = *TemporaryFolder::create();
  std::filesystem::path file_ = folder_.path() / "registry.db";

  Result<std::unique_ptr<SqliteRegistry>> open() { return SqliteRegistry::open({file_, Secret(Bytes(32, 7))}); }
  static RegistryChange added(std::uint64_t index, std::string version) {
    ModelVersion added;
    added.name = "m";
    added.version = std::move(version);
    added.digest = "sha256:00";
    added.metrics = {{"eval_loss", 1.25}};
    return {index, {added}, {}};
  }
};

TEST_F(SqliteRegistryTest, keeps_versions_and_states_across_openings) {
  {
    auto registry = *open();
    ASSERT_TRUE(registry->apply({added(0, "0.1.0"), added(3, "0.2.0")}));
    ASSERT_TRUE(registry->apply({{5, {}, {{"m", "0.2.0", VersionState::approved, "reads well"}}}, {8, {}, {}}}));
  }
  auto registry = *open();
  EXPECT_EQ(*registry->entries_applied(), 9u);
  const auto versions = *registry->list();
  ASSERT_EQ(versions.size(), 2u);
  EXPECT_EQ(versions[1].state, VersionState::approved);
  EXPECT_EQ(versions[1].reason, "reads well");
  EXPECT_EQ(registry->get("m", "0.1.0")->metrics["eval_loss"], 1.25);
  EXPECT_EQ(registry->get("m", "9.9.9").error().code, ErrorCode::not_found);
}

TEST_F(SqliteRegistryTest, applies_each_entry_once) {
  auto registry = *open();
  ASSERT_TRUE(registry->apply({added(0, "0.1.0")}));
  ASSERT_TRUE(registry->apply({added(0, "0.1.0")}));
  EXPECT_EQ(registry->list()->size(), 1u);
}

TEST_F(SqliteRegistryTest, a_change_that_cannot_be_applied_leaves_nothing) {
  auto registry = *open();
  const auto done = registry->apply({added(0, "0.1.0"), {1, {}, {{"m", "9.9.9", VersionState::approved, ""}}}});
  EXPECT_EQ(done.error().code, ErrorCode::not_found);
  EXPECT_TRUE(registry->list()->empty());
  EXPECT_EQ(*registry->entries_applied(), 0u);
}

TEST_F(SqliteRegistryTest, any_changed_byte_is_tampered) {
  { ASSERT_TRUE((*open())->apply({added(0, "0.1.0")})); }
  const Bytes whole = *read_file(file_, 1 << 20);
  for (std::size_t at = 0; at < whole.size(); at += 37) {
    Bytes changed = whole;
    changed[at] ^= 1;
    ASSERT_TRUE(write_file(file_, ByteView(changed)));
    EXPECT_EQ(open().error().code, ErrorCode::tampered) << at;
  }
  ASSERT_TRUE(write_file(file_, ByteView(whole)));
  EXPECT_TRUE(open());
  std::filesystem::remove(file_.string() + ".mac");
  EXPECT_EQ(open().error().code, ErrorCode::tampered);
}

TEST_F(SqliteRegistryTest, a_change_cut_short_starts_over_empty) {
  { ASSERT_TRUE((*open())->apply({added(0, "0.1.0")})); }
  ASSERT_TRUE(write_file(file_.string() + ".mac", std::string_view("pending\n")));
  auto registry = *open();
  EXPECT_EQ(*registry->entries_applied(), 0u);
  EXPECT_TRUE(registry->list()->empty());
}

}  // namespace
}  // namespace redoubt::provider::local
