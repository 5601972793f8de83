// SPDX-License-Identifier: Apache-2.0
#include "hub/pull_through.h"

#include <thread>

#include "hub/testing_store.h"

namespace redoubt::hub {
namespace {

// Another hub in memory.
class FakeUpstream final : public Upstream {
 public:
  struct Model {
    std::string commit;
    std::map<std::string, std::string> files;
  };
  Result<std::string> resolve(const std::string& repository, const std::string& revision) override {
    ++asked;
    if (is_away) return fail(ErrorCode::unavailable, "no answer");
    const auto found = models.find(repository);
    if (found == models.end() || (revision != "main" && revision != found->second.commit)) return fail(ErrorCode::not_found, "no such model");
    return found->second.commit;
  }
  Result<std::vector<Entry>> list(const std::string& repository, const std::string&) override {
    std::vector<Entry> entries;
    for (const auto& [path, text] : models.at(repository).files) entries.push_back({path, text.size() + lies_about_size, crypto::git_blob_id(view_of(text)), path.ends_with(".safetensors") ? std::optional(crypto::sha256(text)) : std::nullopt});
    return entries;
  }
  Status download(const std::string& repository, const std::string&, const Entry& entry, Sink& into) override {
    ++downloads;
    return into.write(view_of(sends.empty() ? models.at(repository).files.at(entry.path) : sends));
  }

  std::map<std::string, Model> models;
  std::atomic<int> asked = 0, downloads = 0;
  std::uint64_t lies_about_size = 0;
  std::string sends;  // instead of what it has
  bool is_away = false;
};

class PullThroughTest : public testing::StoreTest {
 protected:
  void SetUp() override { upstream_->models["acme/tiny"] = {commit_id('a'), {{"config.json", "{}"}, {"model.safetensors", "weights"}}}; }
  std::string text_of_file(const std::string& id, const std::string& path) { return *read_text_file(store_.commit(id, "main")->repository.find(path)->location); }

  FakeClock clock_;
  std::shared_ptr<FakeUpstream> upstream_ = std::make_shared<FakeUpstream>();
  PullThrough pull_{{.upstream = upstream_, .fresh_for = std::chrono::minutes(10), .bytes_max = 1000}, store_, scan(), clock_};
};

TEST_F(PullThroughTest, a_model_is_fetched_with_its_commit_and_kept) {
  EXPECT_FALSE(pull_.is_fresh("acme/tiny", "main"));
  ASSERT_TRUE(pull_.fetch("acme/tiny", "main"));
  EXPECT_TRUE(pull_.is_fresh("acme/tiny", "main"));
  EXPECT_EQ(*store_.resolve("acme/tiny", "main"), commit_id('a'));
  EXPECT_EQ(text_of_file("acme/tiny", "model.safetensors"), "weights");
  EXPECT_EQ(pull_.fetch("acme/none", "main").error().code, ErrorCode::not_found);
  EXPECT_FALSE(store_.has("acme/none"));
}

TEST_F(PullThroughTest, a_branch_is_asked_for_again_after_a_while_and_a_commit_is_not) {
  ASSERT_TRUE(pull_.fetch("acme/tiny", "main"));
  clock_.advance(std::chrono::minutes(11));
  EXPECT_FALSE(pull_.is_fresh("acme/tiny", "main"));
  EXPECT_TRUE(pull_.is_fresh("acme/tiny", commit_id('a')));
  upstream_->models["acme/tiny"] = {commit_id('b'), {{"config.json", "[]"}, {"model.safetensors", "weights"}}};
  const int before = upstream_->downloads;
  ASSERT_TRUE(pull_.fetch("acme/tiny", "main"));
  EXPECT_EQ(upstream_->downloads, before + 1);  // the weights are here already
  EXPECT_EQ(text_of_file("acme/tiny", "config.json"), "[]");
  EXPECT_EQ(*store_.resolve("acme/tiny", commit_id('a')), commit_id('a'));
}

TEST_F(PullThroughTest, while_the_other_hub_is_away_what_is_kept_is_served) {
  ASSERT_TRUE(pull_.fetch("acme/tiny", "main"));
  clock_.advance(std::chrono::minutes(11));
  upstream_->is_away = true;
  EXPECT_TRUE(pull_.fetch("acme/tiny", "main"));
  EXPECT_EQ(pull_.fetch("acme/other", "main").error().code, ErrorCode::unavailable);
}

TEST_F(PullThroughTest, a_model_with_a_finding_is_not_kept_and_not_fetched_again) {
  upstream_->models["acme/tiny"].files["notes.txt"] = "evil";
  const auto refused = pull_.fetch("acme/tiny", "main");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::gate_refused);
  EXPECT_EQ(refused.error().where, "notes.txt: evil");
  EXPECT_FALSE(store_.has("acme/tiny"));
  EXPECT_FALSE(store_.has_blob(crypto::sha256("weights")));
  EXPECT_TRUE(list_folder(store_.incoming())->empty());
  const int before = upstream_->downloads;
  EXPECT_EQ(pull_.fetch("acme/tiny", "main").error().code, ErrorCode::gate_refused);
  EXPECT_EQ(upstream_->downloads, before);
  upstream_->models["acme/tiny"] = {commit_id('b'), {{"config.json", "{}"}}};
  EXPECT_TRUE(pull_.fetch("acme/tiny", "main"));  // the branch has another commit
}

TEST_F(PullThroughTest, a_file_that_is_not_what_the_other_hub_says_is_tampered) {
  upstream_->sends = "weightz";
  EXPECT_EQ(pull_.fetch("acme/tiny", "main").error().code, ErrorCode::tampered);
  upstream_->sends.clear();
  upstream_->lies_about_size = 1;
  EXPECT_EQ(pull_.fetch("acme/tiny", "main").error().code, ErrorCode::tampered);
  EXPECT_FALSE(store_.has("acme/tiny"));
  EXPECT_EQ(scans_, 0);
  EXPECT_TRUE(list_folder(store_.incoming())->empty());
}

TEST_F(PullThroughTest, a_model_that_is_too_large_is_not_begun) {
  upstream_->models["acme/tiny"].files["model.safetensors"] = std::string(1000, 'x');
  EXPECT_EQ(pull_.fetch("acme/tiny", "main").error().code, ErrorCode::gate_refused);
  EXPECT_EQ(upstream_->downloads, 0);
}

TEST_F(PullThroughTest, the_mirrors_own_model_is_never_asked_for) {
  ASSERT_TRUE(store_.put_commit({.repository = {.id = "acme/own", .commit = commit_id('c'), .modified = "2026-01-01T00:00:00Z", .files = {keep("a.txt", "a")}, .findings = {}}, .parent = "", .title = "", .message = "", .author = ""}));
  ASSERT_TRUE(store_.put_refs("acme/own", {.branches = {{"main", commit_id('c')}}, .tags = {}, .checked = ""}));
  clock_.advance(std::chrono::hours(1000));
  EXPECT_TRUE(pull_.is_fresh("acme/own", "main"));
  EXPECT_TRUE(pull_.fetch("acme/own", "other"));
  EXPECT_EQ(upstream_->asked, 0);
}

TEST_F(PullThroughTest, many_who_ask_at_once_are_one_fetch) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { EXPECT_TRUE(pull_.fetch("acme/tiny", "main")); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(upstream_->asked, 1);
  EXPECT_EQ(upstream_->downloads, 2);
}

// The bad one brings a file that another model has too, which is fetched while the bad one is being scanned.
TEST_F(PullThroughTest, a_refused_model_takes_no_file_from_another) {
  upstream_->models["evil/model"] = {commit_id('e'), {{"model.safetensors", "weights"}, {"notes.txt", "evil"}}};
  while_scanning_ = [&](const Repository& repository) {
    if (repository.id != "evil/model") return;
    EXPECT_TRUE(pull_.fetch("acme/tiny", "main"));
  };
  EXPECT_EQ(pull_.fetch("evil/model", "main").error().code, ErrorCode::gate_refused);
  ASSERT_TRUE(store_.commit("acme/tiny", "main"));
  EXPECT_EQ(text_of_file("acme/tiny", "model.safetensors"), "weights");
}

}  // namespace
}  // namespace redoubt::hub
