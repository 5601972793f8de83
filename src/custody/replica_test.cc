// SPDX-License-Identifier: Apache-2.0
#include "custody/replica.h"

#include <gtest/gtest.h>

#include "custody/testing_vault.h"
#include "vault/rewrap.h"

namespace redoubt::custody {
namespace {

class ReplicaTest : public testing::Test, public VaultFixture {
 protected:
  ReplicaDifferences compare(bool deep = false) { return *compare_replica(objects, replica, view(), {deep}, progress); }
  std::string blob_of(const std::string& text) { return "blobs/" + crypto::sha256(text).hex(); }
  provider::testing::FakeObjectStore replica;
  NoProgress progress;
};

TEST_F(ReplicaTest, gets_every_sealed_object_as_it_is) {
  put("logs", "one");
  EXPECT_FALSE(compare().in_sync());
  const auto done = replicate(objects, replica, view(), progress);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(compare(true).in_sync());
  EXPECT_EQ(replica.bytes_of(blob_of("one")), objects.bytes_of(blob_of("one")));
  const auto again = replicate(objects, replica, view(), progress);
  EXPECT_EQ(again->copied + again->rewrapped + again->removed, 0u);
}

TEST_F(ReplicaTest, that_is_cut_off_anywhere_goes_on) {
  for (int call = 1; call <= 40; ++call) {
    put("logs", "text " + std::to_string(call));
    provider::testing::FailurePoint point(call);
    provider::testing::FailingObjectStore failing(replica, point);
    const auto done = replicate(objects, failing, view(), progress);
    ASSERT_TRUE(replicate(objects, replica, view(), progress));
    ASSERT_TRUE(compare(true).in_sync()) << call;
    if (done) break;
  }
}

TEST_F(ReplicaTest, follows_deletions_and_nothing_else) {
  const auto version = put("logs", "one");
  ASSERT_TRUE(replicate(objects, replica, view(), progress));
  ASSERT_TRUE(delete_versions(stores(), view(), Needs(), {version}, "delete", Json::object()));
  EXPECT_EQ(compare().deleted.size(), 2u);
  EXPECT_EQ(replicate(objects, replica, view(), progress)->removed, 2u);
  // What went without a word of the ledger is brought back, not taken away there too.
  put("logs", "two");
  ASSERT_TRUE(replicate(objects, replica, view(), progress));
  const auto keys_here = *objects.list("");
  for (const auto& key : keys_here) ASSERT_TRUE(objects.remove(key));
  EXPECT_EQ(replicate(objects, replica, view(), progress)->removed, 0u);
  ASSERT_TRUE(recover(objects, replica, view(), {}, progress));
  EXPECT_TRUE(store.verify_all()->empty());
  EXPECT_FALSE(*store.has(version.artifact));
}

TEST_F(ReplicaTest, brings_nothing_back_that_is_archived) {
  const auto away = put("logs", "one"), lost = put("rows", "two");
  ASSERT_TRUE(replicate(objects, replica, view(), progress));
  ASSERT_TRUE(archive(stores(), away, Needs(), "test"));
  const auto keys_here = *objects.list("");
  for (const auto& key : keys_here) ASSERT_TRUE(objects.remove(key));
  const auto kept = archived_objects(stores(), view());
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ(*kept, (std::set<std::string>{blob_of("one"), "manifests/" + away.artifact.hex()}));
  ASSERT_TRUE(recover(objects, replica, view(), {}, progress, *kept));
  EXPECT_FALSE(has(away.artifact));
  EXPECT_TRUE(store.verify(lost.artifact));
}

TEST_F(ReplicaTest, with_another_object_is_named) {
  put("logs", "one");
  ASSERT_TRUE(replicate(objects, replica, view(), progress));
  replica.bytes_of(blob_of("one")).back() ^= 1;
  EXPECT_TRUE(compare().in_sync()) << "the headers are alike";
  EXPECT_EQ(compare(true).differing, std::vector<std::string>{blob_of("one")});
  replica.bytes_of(blob_of("one")).push_back(0);
  EXPECT_EQ(compare().differing, std::vector<std::string>{blob_of("one")});
  EXPECT_EQ(replicate(objects, replica, view(), progress).error().code, ErrorCode::tampered);
  replica.bytes_of(blob_of("one")) = to_bytes("no sealed object");
  EXPECT_EQ(compare().differing, std::vector<std::string>{blob_of("one")});
}

TEST_F(ReplicaTest, gets_new_wrappings_and_no_new_chunks) {
  put("logs", "one");
  ASSERT_TRUE(replicate(objects, replica, view(), progress));
  ASSERT_TRUE(kms.rotate_key("fake:default"));
  const auto before = *vault::sealed_digest(objects.bytes_of(blob_of("one")));
  ASSERT_TRUE(*vault::rewrap_object(objects, blob_of("one"), {&kms, "fake:default"}, [](ByteView) { return false; }));
  EXPECT_EQ(*vault::sealed_digest(objects.bytes_of(blob_of("one"))), before);
  EXPECT_EQ(compare().stale, std::vector<std::string>{blob_of("one")});
  EXPECT_EQ(replicate(objects, replica, view(), progress)->rewrapped, 1u);
  EXPECT_TRUE(compare(true).in_sync());
  EXPECT_TRUE(store.verify_all()->empty());
}

TEST_F(ReplicaTest, replaces_what_is_damaged_here) {
  const auto version = put("logs", "one");
  ASSERT_TRUE(replicate(objects, replica, view(), progress));
  objects.bytes_of(blob_of("one")).back() ^= 1;
  ASSERT_FALSE(store.verify(version.artifact));
  const auto done = recover(objects, replica, view(), {blob_of("one")}, progress);
  ASSERT_TRUE(done);
  EXPECT_EQ(done->damaged, std::vector<std::string>{blob_of("one")});
  EXPECT_TRUE(store.verify(version.artifact));
}

}  // namespace
}  // namespace redoubt::custody
