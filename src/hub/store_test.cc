// SPDX-License-Identifier: Apache-2.0
#include "hub/store.h"

#include "hub/testing_store.h"

namespace redoubt::hub {
namespace {

class StoreTest : public testing::StoreTest {
 protected:
  Commit commit_of_file(const std::string& id, char digit, RepositoryFile file, const std::string& parent = "") {
    return {.repository = {.id = id, .commit = commit_id(digit), .modified = "2026-01-01T00:00:00Z", .files = {std::move(file)}, .findings = {}},
            .parent = parent, .title = "title", .message = "message", .author = "author"};
  }
};

TEST_F(StoreTest, what_is_kept_lies_under_its_digest_once) {
  const auto first = keep("a.json", "{}"), second = keep("b.json", "{}");
  EXPECT_EQ(first.sha256, crypto::sha256("{}"));
  EXPECT_EQ(first.location, second.location);
  EXPECT_EQ(first.location, store_.blob(first.sha256));
  EXPECT_EQ(first.blob_id, "9e26dfeeb6e641a33dae4961196235bdb965b21b");  // git hash-object
  EXPECT_TRUE(list_folder(store_.incoming())->empty());
}

TEST_F(StoreTest, a_revision_is_a_branch_a_tag_or_a_commit) {
  ASSERT_TRUE(store_.put_commit(commit_of_file("acme/tiny", 'a', keep("config.json", "{}"))));
  ASSERT_TRUE(store_.put_refs("acme/tiny", {.branches = {{"main", commit_id('a')}}, .tags = {{"v1", commit_id('a')}}, .checked = ""}));
  for (const std::string& revision : {std::string("main"), std::string("v1"), commit_id('a'), commit_id('a').substr(0, 7), std::string("refs/heads/main"), std::string("refs/tags/v1")}) {
    EXPECT_EQ(store_.resolve("acme/tiny", revision).value_or(""), commit_id('a')) << revision;
    const auto commit = store_.commit("acme/tiny", revision);
    ASSERT_TRUE(commit) << revision;
    EXPECT_EQ(commit->title, "title");
    EXPECT_EQ(commit->repository.files.at(0).sha256, crypto::sha256("{}"));
  }
  for (const std::string& revision : {std::string("other"), commit_id('b'), commit_id('a').substr(0, 6), commit_id('b').substr(0, 7), std::string("refs/heads/v1"), std::string("../acme/tiny")}) {
    EXPECT_EQ(store_.resolve("acme/tiny", revision).error().code, ErrorCode::not_found) << revision;
  }
}

TEST_F(StoreTest, a_commit_whose_file_was_changed_is_tampered) {
  const auto file = keep("config.json", "{}");
  ASSERT_TRUE(store_.put_commit(commit_of_file("acme/tiny", 'a', file)));
  ASSERT_TRUE(store_.put_refs("acme/tiny", {.branches = {{"main", commit_id('a')}}, .tags = {}, .checked = ""}));
  ASSERT_TRUE(store_.ready("acme/tiny", "main"));
  ASSERT_TRUE(write_file(file.location, std::string_view("[]")));
  EXPECT_FALSE(store_.ready("acme/tiny", "main"));
  EXPECT_EQ(store_.commit("acme/tiny", "main").error().code, ErrorCode::tampered);
}

TEST_F(StoreTest, the_record_of_another_model_is_tampered) {
  ASSERT_TRUE(store_.put_commit(commit_of_file("acme/tiny", 'a', keep("config.json", "{}"))));
  ASSERT_TRUE(make_folder(state() / "models/acme/other/commits"));
  std::filesystem::copy(state() / "models/acme/tiny/commits" / (commit_id('a') + ".json"), state() / "models/acme/other/commits" / (commit_id('a') + ".json"));
  ASSERT_TRUE(store_.put_refs("acme/other", {.branches = {{"main", commit_id('a')}}, .tags = {}, .checked = ""}));
  EXPECT_EQ(store_.commit("acme/other", "main").error().code, ErrorCode::tampered);
}

TEST_F(StoreTest, history_goes_back_as_far_as_it_is_kept) {
  const auto file = keep("config.json", "{}");
  ASSERT_TRUE(store_.put_commit(commit_of_file("acme/tiny", 'b', file, commit_id('a'))));
  ASSERT_TRUE(store_.put_commit(commit_of_file("acme/tiny", 'c', file, commit_id('b'))));
  ASSERT_TRUE(store_.put_refs("acme/tiny", {.branches = {{"main", commit_id('c')}}, .tags = {}, .checked = ""}));
  const auto history = store_.history("acme/tiny", "main", 10);
  ASSERT_TRUE(history);
  ASSERT_EQ(history->size(), 2u);
  EXPECT_EQ(history->at(1).repository.commit, commit_id('b'));
  EXPECT_EQ(store_.history("acme/tiny", "main", 1)->size(), 1u);
}

TEST_F(StoreTest, contents_that_a_commit_names_are_not_discarded) {
  const auto named = keep("config.json", "{}"), unnamed = keep("other.json", "[]");
  ASSERT_TRUE(store_.put_commit(commit_of_file("acme/tiny", 'a', named)));  // and no branch yet
  ASSERT_TRUE(store_.discard({named.sha256, unnamed.sha256}));
  EXPECT_TRUE(store_.has_blob(named.sha256));
  EXPECT_FALSE(store_.has_blob(unnamed.sha256));
  EXPECT_EQ(store_.put_commit(commit_of_file("acme/tiny", 'b', unnamed)).error().code, ErrorCode::unavailable);
}

TEST_F(StoreTest, refs_that_name_no_commit_are_refused) {
  ASSERT_TRUE(make_folder(state() / "models/acme/tiny"));
  for (const char* refs : {R"({"branches": {"main": "../x"}, "tags": {}})", R"({"branches": {"../x": "0000000000000000000000000000000000000000"}, "tags": {}})", R"({"branches": []})", "{"}) {
    ASSERT_TRUE(write_file(state() / "models/acme/tiny/refs.json", std::string_view(refs)));
    EXPECT_EQ(store_.refs("acme/tiny").error().code, ErrorCode::invalid_argument) << refs;
  }
}

TEST(RefName, is_as_git_takes_it_and_never_a_commit) {
  for (const char* name : {"main", "v1.0", "feature/x", "refs/pr/1"}) EXPECT_TRUE(is_ref_name(name)) << name;
  for (const char* name : {"", "-x", ".x", "../x", "a//b", "a b", "0123456789abcdef0123456789abcdef01234567"}) EXPECT_FALSE(is_ref_name(name)) << name;
}

}  // namespace
}  // namespace redoubt::hub
