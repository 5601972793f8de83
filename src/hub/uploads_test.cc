// SPDX-License-Identifier: Apache-2.0
#include "hub/uploads.h"

#include "hub/testing_store.h"

namespace redoubt::hub {
namespace {

class UploadsTest : public testing::StoreTest {
 protected:
  void SetUp() override { ASSERT_TRUE(make_folder(folder_.path() / "root")); }
  static AddedFile file(const std::string& path, std::string_view text) { return {path, Bytes(text.begin(), text.end())}; }
  Result<std::string> commit(std::vector<CommitOperation> operations, std::optional<std::string> parent = {}) {
    return uploads_.commit("acme/tiny", "main", {.summary = "change", .description = "", .parent = std::move(parent), .operations = std::move(operations)}, "alice");
  }
  // What a client does for a large file: a signed address for each part, then one for the whole.
  Status send(const std::string& id, std::string_view text, std::uint64_t announced, const Digest& oid) {
    Uploads::Ticket ticket{.id = id, .oid = oid, .size = announced, .part = 0, .expires = 0};
    TRY(uploads_.put_part(ticket, view_of(text)));
    return uploads_.finish(ticket);
  }
  std::vector<std::string> paths() {
    std::vector<std::string> out;
    const auto commit = store_.commit("acme/tiny", "main");
    for (const auto& file : commit->repository.files) out.push_back(file.path);
    return out;
  }
  Digest digest_of(const std::string& path) { return store_.commit("acme/tiny", "main")->repository.find(path)->sha256; }
  // Of an address as the mirror gives it out: its path's parts and its query.
  Result<Uploads::Ticket> check(const std::string& address) {
    const auto question = address.find('?');
    std::vector<std::string> segments;
    for (std::size_t begin = 1; begin < question; begin = address.find_first_of("/?", begin) + 1) segments.push_back(address.substr(begin, address.find_first_of("/?", begin) - begin));
    return uploads_.check(segments, std::string_view(address).substr(question + 1));
  }

  FakeClock clock_;
  Uploads uploads_{store_, folders_, scan(), clock_};
};

TEST_F(UploadsTest, a_repository_is_made_once) {
  ASSERT_TRUE(uploads_.create("acme/tiny", "alice"));
  EXPECT_EQ(uploads_.create("acme/tiny", "alice").error().code, ErrorCode::already_exists);
  EXPECT_TRUE(paths().empty());
}

TEST_F(UploadsTest, a_commit_adds_replaces_and_removes) {
  ASSERT_TRUE(uploads_.create("acme/tiny", "alice"));
  ASSERT_TRUE(commit({file("config.json", "{}"), file("sub/a.txt", "a"), file("sub/b.txt", "b")}));
  ASSERT_TRUE(commit({file("config.json", "[]"), RemovedFile{"sub/a.txt"}}));
  EXPECT_EQ(paths(), (std::vector<std::string>{"config.json", "sub/b.txt"}));
  EXPECT_EQ(digest_of("config.json"), crypto::sha256("[]"));
  ASSERT_TRUE(commit({RemovedFolder{"sub"}}));
  EXPECT_EQ(paths(), std::vector<std::string>{"config.json"});
  EXPECT_EQ(commit({RemovedFile{"sub/b.txt"}}).error().code, ErrorCode::not_found);
}

TEST_F(UploadsTest, a_commit_with_a_finding_is_refused_as_a_whole) {
  ASSERT_TRUE(uploads_.create("acme/tiny", "alice"));
  const auto before = *store_.resolve("acme/tiny", "main");
  const auto refused = commit({file("config.json", "{}"), file("x.txt", "evil")});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::gate_refused);
  EXPECT_EQ(refused.error().where, "x.txt: evil");
  EXPECT_EQ(*store_.resolve("acme/tiny", "main"), before);
}

TEST_F(UploadsTest, a_commit_onto_another_parent_than_the_branch_has_is_unavailable) {
  ASSERT_TRUE(uploads_.create("acme/tiny", "alice"));
  const auto first = *store_.resolve("acme/tiny", "main");
  ASSERT_TRUE(commit({file("a.txt", "a")}, first));
  EXPECT_EQ(commit({file("b.txt", "b")}, first).error().code, ErrorCode::unavailable);
}

TEST_F(UploadsTest, no_path_is_a_file_and_a_folder) {
  ASSERT_TRUE(uploads_.create("acme/tiny", "alice"));
  EXPECT_EQ(commit({file("a", "1"), file("a/b", "2")}).error().code, ErrorCode::invalid_argument);
  // Names that stand between the two in order of bytes.
  EXPECT_EQ(commit({file("a", "1"), file("a-b", "2"), file("a.c", "3"), file("a/b", "4")}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(commit({file("a/b/c/d", "1"), file("a/b", "2"), file("a/b-", "3")}).error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(commit({file("a-b", "1"), file("a/b", "2")}));
}

TEST_F(UploadsTest, a_folder_that_is_written_to_is_kept_from_then_on) {
  ASSERT_TRUE(make_folder(folder_.path() / "root/acme/tiny"));
  ASSERT_TRUE(write_file(folder_.path() / "root/acme/tiny/config.json", std::string_view("{}")));
  ASSERT_TRUE(commit({file("a.txt", "a")}));
  EXPECT_EQ(paths(), (std::vector<std::string>{"a.txt", "config.json"}));
  ASSERT_TRUE(write_file(folder_.path() / "root/acme/tiny/config.json", std::string_view("evil")));
  EXPECT_EQ(digest_of("config.json"), crypto::sha256("{}"));
}

TEST_F(UploadsTest, a_digest_opens_nothing_that_was_not_sent_to_that_repository) {
  ASSERT_TRUE(uploads_.create("acme/tiny", "alice"));
  ASSERT_TRUE(uploads_.create("other/secret", "bob"));
  const auto oid = crypto::sha256("weights");
  ASSERT_TRUE(send("other/secret", "weights", 7, oid));
  EXPECT_FALSE(uploads_.has("acme/tiny", oid));
  EXPECT_EQ(commit({AddedLargeFile{"model.safetensors", oid, 7}}).error().code, ErrorCode::invalid_argument);
  ASSERT_TRUE(send("acme/tiny", "weights", 7, oid));
  EXPECT_EQ(commit({AddedLargeFile{"model.safetensors", oid, 8}}).error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(commit({AddedLargeFile{"model.safetensors", oid, 7}}));
}

TEST_F(UploadsTest, a_large_file_comes_in_parts) {
  ASSERT_TRUE(uploads_.create("acme/tiny", "alice"));
  const std::string text(Uploads::kPartBytes + 5, 'x');
  Uploads::Ticket ticket{.id = "acme/tiny", .oid = crypto::sha256(text), .size = text.size(), .part = 2, .expires = 0};
  ASSERT_TRUE(uploads_.put_part(ticket, view_of(std::string_view("xxxxx"))));
  EXPECT_EQ(uploads_.put_part(ticket, view_of(std::string_view("xxxx"))).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(uploads_.finish({.id = "acme/tiny", .oid = ticket.oid, .size = ticket.size, .part = 0, .expires = 0}).error().code, ErrorCode::invalid_argument);  // one was not sent
  ticket.part = 1;
  ASSERT_TRUE(uploads_.put_part(ticket, view_of(std::string_view(text).substr(0, Uploads::kPartBytes))));
  ticket.part = 3;
  EXPECT_EQ(uploads_.put_part(ticket, view_of(std::string_view("x"))).error().code, ErrorCode::invalid_argument);
  ticket.part = 0;
  ASSERT_TRUE(uploads_.finish(ticket));
  EXPECT_TRUE(uploads_.has("acme/tiny", ticket.oid));
}

TEST_F(UploadsTest, what_is_not_the_file_that_was_announced_is_tampered) {
  ASSERT_TRUE(uploads_.create("acme/tiny", "alice"));
  const auto oid = crypto::sha256("weights");
  EXPECT_EQ(send("acme/tiny", "weightz", 7, oid).error().code, ErrorCode::tampered);
  EXPECT_FALSE(uploads_.has("acme/tiny", oid));
  EXPECT_FALSE(store_.has_blob(crypto::sha256("weightz")));
}

TEST_F(UploadsTest, an_address_is_for_one_file_of_one_repository_for_a_while) {
  const Uploads::Ticket ticket{.id = "acme/tiny", .oid = crypto::sha256("weights"), .size = 7, .part = 0, .expires = 0};
  const auto address = uploads_.address_of(ticket);
  ASSERT_TRUE(check(address));
  EXPECT_EQ(check(address)->size, 7u);
  const auto changed = [&](std::string_view from, std::string_view to) {
    std::string other = address;
    return other.replace(other.find(from), from.size(), to);
  };
  for (const auto& other : {changed("acme", "evil"), changed("size=7", "size=8"), changed("/0?", "/1?"), changed(ticket.oid.hex(), crypto::sha256("x").hex()), changed("signature=", "signatur=")}) {
    EXPECT_EQ(check(other).error().code, ErrorCode::permission_denied) << other;
  }
  clock_.advance(std::chrono::hours(25));
  EXPECT_EQ(check(address).error().code, ErrorCode::permission_denied);
}

TEST_F(UploadsTest, tags_and_branches_share_their_names) {
  ASSERT_TRUE(uploads_.create("acme/tiny", "alice"));
  ASSERT_TRUE(uploads_.tag("acme/tiny", "v1", "main"));
  EXPECT_EQ(uploads_.branch("acme/tiny", "v1", "main").error().code, ErrorCode::already_exists);
  EXPECT_EQ(uploads_.tag("acme/tiny", "main", "main").error().code, ErrorCode::already_exists);
  EXPECT_EQ(uploads_.tag("acme/tiny", "../x", "main").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(uploads_.tag("acme/tiny", "v2", "nothing").error().code, ErrorCode::not_found);
  ASSERT_TRUE(uploads_.branch("acme/tiny", "dev", "v1"));
  EXPECT_EQ(uploads_.unbranch("acme/tiny", "main").error().code, ErrorCode::permission_denied);
  ASSERT_TRUE(uploads_.unbranch("acme/tiny", "dev"));
  ASSERT_TRUE(uploads_.untag("acme/tiny", "v1"));
  EXPECT_EQ(uploads_.untag("acme/tiny", "v1").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace redoubt::hub
