// SPDX-License-Identifier: Apache-2.0
#include "custody/deletion.h"

#include <gtest/gtest.h>

#include "custody/testing_vault.h"

namespace redoubt::custody {
namespace {

using std::chrono::minutes;

class DeletionTest : public testing::Test, public VaultFixture {
 protected:
  Needs needs() { return *Needs::of_releases(*evidence, *registry); }
  Result<Deleted> remove(const std::vector<NamedVersion>& versions) { return delete_versions(stores(), view(), needs(), versions, "delete", {{"reason", "test"}}); }
  // The chain of a version that waits for its review, over the fixture's artifacts.
  void register_release() {
    const auto model_step = acquired();
    const auto data = prepared();
    const auto image_step = built();
    const auto adapter_step = trained();
    const auto evaluation = evaluated();
    record_step<governance::RegisterStep>({{"statement:acquire", model_step.statement()}, {"statement:data", data.statement()}, {"statement:image", image_step.statement()}, {"statement:train", adapter_step.statement()},
                                           {"statement:evaluate", evaluation.statement()}},
                                          {{"release", artifact("release", "weights")}}, {{"name", "tiny"}, {"version", "0.1.0"}, {"state", "PendingManualApproval"}, {"metrics", Json::object()}, {"reason", ""}});
  }
  template <class Step>
  void record_step(std::map<std::string, Digest> inputs, std::map<std::string, Digest> outputs, Json result) {
    (void)ReleaseFixture::record<Step>(std::move(inputs), std::move(outputs), std::move(result));
  }
};

TEST_F(DeletionTest, takes_away_what_nobody_else_names) {
  const auto one = put("logs", "one"), two = put("other", "two");
  const auto same = put("copy", "one");
  auto done = remove({one});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(has(one.artifact)) << "another name has it";
  done = remove({*view().find(Target{"copy", 0, {}})});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->objects, 2u);
  EXPECT_FALSE(has(one.artifact));
  EXPECT_TRUE(has(two.artifact));
  EXPECT_TRUE(view().unfinished().empty());
  EXPECT_EQ(view().find(Target{"logs", 1, {}})->fate, VersionFate::deleted);
}

TEST_F(DeletionTest, leaves_files_that_another_artifact_has) {
  const auto version = put("logs", "one");
  vault::Manifest both{"data", {{"a", 3, crypto::sha256("one")}, {"b", 3, crypto::sha256("two")}}};
  MemorySource two(view_of("two"));
  ASSERT_TRUE(store.put_blob(two));
  ASSERT_TRUE(store.put_manifest(both));
  const auto done = remove({version});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->shared, 1u);
  EXPECT_TRUE(*store.has_blob(crypto::sha256("one")));
  EXPECT_FALSE(has(version.artifact));
}

TEST_F(DeletionTest, never_takes_what_a_release_stands_on) {
  register_release();
  ASSERT_TRUE(record({{"action", "put"}, {"name", "base"}, {"version", 1}, {"artifact", model.tagged()}, {"kind", "model"}, {"files", 1}, {"bytes", 7}}));
  const auto version = *view().find(Target{"base", 0, {}});
  const auto refused = may_delete(view(), Rules(), needs(), {version}, clock.now());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::gate_refused);
  EXPECT_NE(refused.error().message.find("tiny/0.1.0"), std::string::npos) << refused.error().message;
  // And the files of what may go stay where the release has them too.
  const auto copy = put("copy", "weights", "data");
  ASSERT_TRUE(remove({copy}));
  EXPECT_TRUE(*store.has_blob(crypto::sha256("weights")));
}

TEST_F(DeletionTest, is_refused_by_a_hold_and_before_its_time) {
  const auto version = put("logs", "one");
  const auto rules = *Rules::from_json({{"vault", {{"rules", {{{"keep_at_least", "1d"}}}}}}});
  EXPECT_EQ(may_delete(view(), rules, needs(), {version}, clock.now()).error().code, ErrorCode::gate_refused);
  clock.advance(std::chrono::hours(24));
  EXPECT_TRUE(may_delete(view(), rules, needs(), {version}, clock.now()));
  ASSERT_TRUE(record({{"action", "hold"}, {"hold", "hold-1"}, {"target", version.artifact.tagged()}, {"reason", "case 7"}}));
  EXPECT_EQ(may_delete(view(), rules, needs(), {version}, clock.now()).error().code, ErrorCode::gate_refused);
}

// Whichever call of the store fails: what the ledger announced is finished later, and nothing else goes.
TEST_F(DeletionTest, that_is_cut_off_anywhere_is_finished_later) {
  for (int call = 1; call <= 12; ++call) {
    const std::string text = "text " + std::to_string(call);
    const auto version = put("logs", text), other = put("other", "other " + text);
    provider::testing::FailurePoint point(call);
    provider::testing::FailingObjectStore failing(objects, point);
    first = &failing;
    const auto done = remove({version});
    first = &objects;
    const auto now = view();
    const bool said = now.find(Target{"logs", version.number, {}})->fate == VersionFate::deleted;
    EXPECT_TRUE(said || has(version.artifact)) << "gone without a word of the ledger, call " << call;
    ASSERT_TRUE(finish(stores(), now));
    EXPECT_EQ(said, !has(version.artifact)) << call;
    EXPECT_TRUE(has(other.artifact)) << call;
    EXPECT_TRUE(view().unfinished().empty()) << call;
    if (done) break;
  }
}

TEST_F(DeletionTest, that_is_finished_later_spares_what_was_put_again) {
  const auto version = put("logs", "one");
  ASSERT_TRUE(record({{"action", "remove"}, {"cause", "delete"}, {"versions", {version.text()}}, {"manifests", {version.artifact.hex()}}, {"blobs", {crypto::sha256("one").hex()}}}));
  put("logs", "one");
  ASSERT_TRUE(finish(stores(), view()));
  EXPECT_TRUE(has(version.artifact));
  EXPECT_TRUE(store.verify(version.artifact));
}

TEST_F(DeletionTest, of_many_objects_takes_several_entries) {
  vault::Manifest manifest{"data", {}};
  for (int i = 0; i < 900; ++i) {
    const std::string text = "file " + std::to_string(i);
    MemorySource source(view_of(text));
    manifest.files.push_back({std::to_string(i), text.size(), *store.put_blob(source)});
  }
  const Digest digest = *store.put_manifest(manifest);
  ASSERT_TRUE(record({{"action", "put"}, {"name", "many"}, {"version", 1}, {"artifact", digest.tagged()}, {"kind", "data"}, {"files", 900}, {"bytes", 1}}));
  const auto done = remove({*view().find(Target{"many", 0, {}})});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->objects, 901u);
  EXPECT_TRUE(view().unfinished().empty());
  EXPECT_EQ(view().tombstones().size(), 901u);
}

TEST_F(DeletionTest, archive_and_back_is_cut_off_anywhere_and_loses_nothing) {
  for (int call = 1; call <= 20; ++call) {
    const auto version = put("logs", "text " + std::to_string(call));
    provider::testing::FailurePoint point(call);
    provider::testing::FailingObjectStore failing(objects, point);
    first = &failing;
    const auto done = archive(stores(), version, needs(), "test");
    first = &objects;
    ASSERT_TRUE(finish(stores(), view()));
    const bool archived = view().archived().contains({version.place, version.artifact});
    EXPECT_TRUE((archived ? archive_store : store).verify(version.artifact)) << call;
    EXPECT_EQ(has(version.artifact), !archived) << call;
    if (archived) {
      ASSERT_TRUE(unarchive(stores(), version));
      EXPECT_TRUE(store.verify(version.artifact));
      EXPECT_FALSE(view().archived().contains({version.place, version.artifact}));
    }
    if (done) break;
  }
}

// Two names of the same contents.
TEST_F(DeletionTest, of_one_name_leaves_what_is_archived_for_the_other_and_of_both_nothing) {
  const auto first_name = put("logs", "one"), second_name = put("copies", "one");
  ASSERT_TRUE(archive(stores(), first_name, needs(), "test"));
  const std::pair<Place, Digest> where = {first_name.place, first_name.artifact};
  ASSERT_TRUE(remove({second_name}));
  EXPECT_TRUE(view().archived().contains(where));
  EXPECT_TRUE(archive_store.verify(first_name.artifact));
  const auto rest = remove({first_name});
  ASSERT_TRUE(rest) << rest.error().message;
  EXPECT_EQ(rest->objects, 2u);
  EXPECT_FALSE(view().archived().contains(where));
  EXPECT_TRUE(archive_objects.list("")->empty());
}

TEST_F(DeletionTest, of_what_was_restored_from_the_archive_is_done_there) {
  const auto version = put("logs", "one");
  put("logs", "two");
  ASSERT_TRUE(archive(stores(), version, needs(), "test"));
  ASSERT_TRUE(record({{"action", "put"}, {"name", "logs"}, {"version", 3}, {"artifact", version.artifact.tagged()}, {"kind", "data"}, {"files", 1}, {"bytes", 3}, {"restored_from", 1}}));
  EXPECT_TRUE(view().archived().contains({version.place, version.artifact}));
  ASSERT_TRUE(remove(view().versions_of(Target{"", 0, version.artifact})));
  EXPECT_TRUE(archive_objects.list("")->empty());
}

TEST_F(DeletionTest, takes_the_archives_copy_of_what_was_put_again) {
  const auto version = put("logs", "one");
  ASSERT_TRUE(archive(stores(), version, needs(), "test"));
  const auto again = put("logs", "one");
  EXPECT_FALSE(view().archived().contains({version.place, version.artifact}));
  EXPECT_TRUE(view().in_archive().contains({version.place, version.artifact}));
  ASSERT_TRUE(remove({version, again}));
  EXPECT_TRUE(archive_objects.list("")->empty());
  EXPECT_FALSE(has(version.artifact));
  EXPECT_TRUE(view().in_archive().empty());
}

class CodeTest : public testing::Test, public VaultFixture {
 protected:
  CodeVerdict judge(const std::string& code) {
    auto verdict = judge_code(view(), "operator", secret, code, clock.now());
    if (verdict.recount) {
      EXPECT_TRUE(record({{"action", "totp-refused"}}));
    }
    if (verdict.counter) {
      EXPECT_TRUE(record({{"action", "totp-accepted"}, {"totp_counter", *verdict.counter}}));
    }
    return verdict;
  }
  std::string code(int offset = 0) { return crypto::hotp(secret, crypto::totp_counter(clock.now()) + static_cast<std::uint64_t>(static_cast<std::int64_t>(offset))); }
  const Secret secret{std::string_view("12345678901234567890")};
};

TEST_F(CodeTest, counts_once) {
  EXPECT_FALSE(judge(code()).counter) << "not enrolled";
  ASSERT_TRUE(record({{"action", "totp-enrol"}}));
  ASSERT_TRUE(judge(code()).counter);
  const auto again = judge(code());
  EXPECT_FALSE(again.counter);
  EXPECT_EQ(again.refused.code, ErrorCode::permission_denied);
  EXPECT_FALSE(judge(code(-1)).counter) << "one from before is as good as used";
  EXPECT_TRUE(judge(code(1)).counter) << "the clock of a phone may be ahead";
}

TEST_F(CodeTest, is_not_guessed) {
  ASSERT_TRUE(record({{"action", "totp-enrol"}}));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(judge("000000").counter);
  EXPECT_FALSE(judge(code()).counter) << "even a right one after five wrong ones";
  EXPECT_FALSE(check_attempts(view(), "operator", clock.now()));
  clock.advance(minutes(10));
  EXPECT_TRUE(judge(code()).counter);
}

TEST_F(DeletionTest, of_two_persons_is_by_another_and_in_time) {
  const auto version = put("logs", "one");
  ASSERT_TRUE(record({{"action", "request"}, {"request", "request-1"}, {"operation", "delete"}, {"target", "logs"}, {"artifacts", {version.artifact.tagged()}}, {"reason", "old"},
                      {"expires", to_rfc3339(clock.now() + std::chrono::hours(1))}}));
  EXPECT_EQ(request_to_decide(view(), "request-1", "operator", clock.now()).error().code, ErrorCode::permission_denied);
  EXPECT_TRUE(request_to_decide(view(), "request-1", "reviewer", clock.now()));
  EXPECT_EQ(request_to_decide(view(), "request-2", "reviewer", clock.now()).error().code, ErrorCode::not_found);
  EXPECT_EQ(request_to_decide(view(), "request-1", "reviewer", clock.now() + std::chrono::hours(1)).error().code, ErrorCode::gate_refused);
  ASSERT_TRUE(record({{"action", "reject"}, {"request", "request-1"}, {"reason", "no"}}));
  EXPECT_EQ(request_to_decide(view(), "request-1", "reviewer", clock.now()).error().code, ErrorCode::gate_refused);
}

}  // namespace
}  // namespace redoubt::custody
