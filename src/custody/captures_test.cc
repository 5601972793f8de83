// SPDX-License-Identifier: Apache-2.0
#include "custody/captures.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "custody/testing_vault.h"

namespace redoubt::custody {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

// Notes in memory, which outlive a process that is killed: the n-th change fails, and what is changed is counted.
class MemoryNotes final : public governance::Notes {
 public:
  Result<std::optional<Json>> load(const std::string& name) override {
    const auto found = notes.find(name);
    return found == notes.end() ? std::optional<Json>() : std::optional(found->second);
  }
  Status save(const std::string& name, const Json& value) override {
    TRY(change());
    bytes_max = std::max(bytes_max, dump_json(value).size());
    notes[name] = value;
    return {};
  }
  Status remove(const std::string& name) override {
    TRY(change());
    notes.erase(name);
    return {};
  }
  Status change() { return --changes_left == 0 ? Status(fail(ErrorCode::unavailable, "a failure that the test asked for")) : Status(); }

  std::map<std::string, Json> notes;
  std::size_t bytes_max = 0;
  int changes_left = 0;
};

class CapturesTest : public testing::Test, public VaultFixture {
 protected:
  std::string line(const std::string& text) const {
    return fmt::format(R"({{"captureData":{{"endpointInput":{{"data":"{{\"inferenceTime\":\"2001-01-01T00:00:00Z\",\"a\":\"{}\"}}"}}}},"eventMetadata":{{"inferenceTime":"{}"}},"eventVersion":"0"}})", text, to_rfc3339(clock.now())) + "\n";
  }
  CaptureList list() { return CaptureList(notes, store, clock, "dev"); }
  std::vector<CaptureBatch> listed() { return captured_batches(notes, "dev").value(); }
  std::set<Digest> listed_blobs() {
    std::set<Digest> blobs;
    for (const auto& batch : listed()) EXPECT_TRUE(blobs.insert(batch.blob).second) << "listed twice";
    return blobs;
  }
  // But for those of the fixture's own artifacts.
  std::set<Digest> stored_blobs() {
    std::set<Digest> blobs;
    const auto names = *objects.list("blobs/");
    for (const auto& name : names) blobs.insert(Digest::parse(name.substr(6)).value());
    const auto artifacts = *store.artifacts();
    for (const auto& artifact : artifacts) {
      const auto manifest = *store.manifest(artifact);
      for (const auto& file : manifest.files) blobs.erase(file.sha256);
    }
    return blobs;
  }
  Result<ExpiredCaptures> expire(CaptureList& list, TimePoint limit) {
    ExpiredCaptures all;
    while (true) {
      const auto piece = TRY(expire_captures(list, stores(), "dev", limit));
      if (piece.taken_off == 0) return all;
      all.add(piece);
    }
  }
  // What the ledger tells of expired captures: the sums.
  std::pair<std::uint64_t, std::uint64_t> told() {
    std::pair<std::uint64_t, std::uint64_t> sum;
    const auto entries = *evidence->of_step(kVaultStep);
    for (const auto& entry : entries) {
      const auto captures = json_or(attest::to_step_record(entry.statement)->result, "captures", Json::object());
      sum.first += static_cast<std::uint64_t>(json_or(captures, "batches", std::int64_t{0}));
      sum.second += static_cast<std::uint64_t>(json_or(captures, "bytes", std::int64_t{0}));
    }
    return sum;
  }
  Json old_entry(const std::string& text, TimePoint time) {
    MemorySource source(view_of(text));
    return {{"blob", store.put_blob(source)->tagged()}, {"bytes", text.size()}, {"stored", to_rfc3339(time)}};
  }

  MemoryNotes notes;
};

TEST_F(CapturesTest, a_line_s_time_is_its_own_whatever_was_asked) {
  EXPECT_EQ(time_of_capture(line("x")), clock.now());
  EXPECT_EQ(time_of_capture(R"({"eventMetadata":{}})"), std::nullopt);
  EXPECT_EQ(time_of_capture(R"({"eventMetadata":{"inferenceTime":"yesterday"}})"), std::nullopt);
  EXPECT_EQ(time_of_capture(R"("inferenceTime":")"), std::nullopt);
}

TEST_F(CapturesTest, a_batch_is_sealed_and_listed_with_what_it_holds) {
  auto captures = list();
  const auto begun = clock.now();
  std::string lines = line("one");
  clock.advance(minutes(1));
  lines += line("two");
  clock.advance(minutes(1));
  ASSERT_TRUE(captures.add(view_of(lines)));
  const auto batches = listed();
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].records, 2u);
  EXPECT_EQ(batches[0].bytes, lines.size());
  EXPECT_EQ(batches[0].first, begun);
  EXPECT_EQ(batches[0].last, begun + minutes(1));
  EXPECT_EQ(batches[0].stored, clock.now());
  EXPECT_EQ(to_text(**read_captures(notes, store, "dev", batches[0])), lines);
  EXPECT_TRUE(captured_batches(notes, "staging")->empty());
}

TEST_F(CapturesTest, a_batch_more_costs_the_same_however_many_there_are) {
  auto captures = list();
  std::size_t notes_of_256 = 0;
  for (int i = 0; i < 600; ++i) {
    clock.advance(std::chrono::seconds(5));
    ASSERT_TRUE(captures.add(view_of(line(std::to_string(i)))));
    if (i == 255) notes_of_256 = std::exchange(notes.bytes_max, 0);
  }
  EXPECT_LE(notes.bytes_max, notes_of_256 + 10);
  auto again = list();
  ASSERT_TRUE(again.add(view_of(line("600"))));
  EXPECT_EQ(listed().size(), 601u);
  EXPECT_EQ(listed_blobs(), stored_blobs());
}

TEST_F(CapturesTest, that_are_cut_off_anywhere_are_listed_or_not_stored) {
  for (int call = 1; call <= 18; ++call) {
    const int fault = (call + 1) / 2;  // of the notes, then of the store
    const bool lives = call % 2 == 0;
    provider::testing::FailurePoint point(fault - 6);
    provider::testing::FailingObjectStore failing(objects, point);
    vault::ArtifactStore failing_store(failing, {"workspace-1", {&kms, "fake:default"}, folder.path()});
    notes.changes_left = fault <= 6 ? fault : 0;
    const std::string lines = line(std::to_string(call));
    CaptureList captures(notes, failing_store, clock, "dev");
    const auto added = captures.add(view_of(lines));
    notes.changes_left = 0;
    if (lives && !added) {
      ASSERT_TRUE(captures.add(view_of(lines))) << call;
    } else if (!lives) {
      auto next = list();
      ASSERT_TRUE(next.settle()) << call;
    }
    EXPECT_EQ(listed_blobs(), stored_blobs()) << call;
    EXPECT_TRUE(listed_blobs().contains(crypto::sha256(lines)) || (!added && !lives)) << call;
  }
  EXPECT_GE(listed().size(), 9u);
}

TEST_F(CapturesTest, the_single_list_of_before_is_read_and_taken_over_once_however_it_is_cut_off) {
  for (int call = 1; call <= 8; ++call) {
    notes.notes.clear();
    Json old = Json::array();
    for (int i = 0; i < 300; ++i) old.push_back(old_entry(fmt::format("{} {}\n", call, i), clock.now() + minutes(i)));
    notes.notes["captures-dev"] = old;
    EXPECT_EQ(listed().size(), 300u);
    EXPECT_EQ(to_text(**read_captures(notes, store, "dev", listed().front())), fmt::format("{} 0\n", call));
    notes.changes_left = call;
    auto killed = list();
    (void)killed.settle();
    notes.changes_left = 0;
    EXPECT_EQ(listed_blobs().size(), 300u) << call;
    auto next = list();
    ASSERT_TRUE(next.settle()) << call;
    EXPECT_FALSE(notes.notes.contains("captures-dev"));
    EXPECT_EQ(listed_blobs().size(), 300u) << call;
    EXPECT_EQ(listed().front().stored, clock.now());
    EXPECT_EQ(listed().front().records, std::nullopt);
  }
}

TEST_F(CapturesTest, what_is_over_goes_from_list_and_store_and_the_ledger_says_how_much) {
  auto captures = list();
  std::uint64_t bytes = 0;
  for (int i = 0; i < 450; ++i) {
    clock.advance(minutes(1));
    const auto lines = line(std::to_string(i));
    bytes += i < 420 ? lines.size() : 0;
    ASSERT_TRUE(captures.add(view_of(lines)));
  }
  const auto limit = clock.now() - minutes(30);
  const auto done = expire(captures, limit);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->batches, 420u);
  EXPECT_EQ(done->records, 420u);
  EXPECT_EQ(done->bytes, bytes);
  EXPECT_EQ(done->until, limit);
  EXPECT_EQ(told(), std::pair(std::uint64_t{420}, bytes));
  EXPECT_EQ(listed().size(), 30u);
  EXPECT_EQ(listed_blobs(), stored_blobs());
  EXPECT_TRUE(view().unfinished().empty());
  EXPECT_EQ(view().tombstones().size(), 420u);
  for (const auto& batch : listed()) EXPECT_GT(batch.stored, limit);
  ASSERT_TRUE(captures.add(view_of(line("after"))));
  EXPECT_EQ(listed().size(), 31u);
  clock.advance(hours(48));
  EXPECT_EQ(expire(captures, clock.now())->batches, 31u);
  EXPECT_TRUE(listed().empty());
  EXPECT_TRUE(stored_blobs().empty());
  ASSERT_TRUE(captures.add(view_of(line("and again"))));
  EXPECT_EQ(listed_blobs(), stored_blobs());
}

TEST_F(CapturesTest, an_expiry_that_is_cut_off_anywhere_goes_on_and_counts_each_batch_once) {
  std::uint64_t batches = 0, bytes = 0;
  for (int call = 1; call <= 12; ++call) {
    auto captures = list();
    for (int i = 0; i < 3; ++i) {
      clock.advance(minutes(1));
      const auto lines = line(fmt::format("{} {}", call, i));
      bytes += lines.size();
      ++batches;
      ASSERT_TRUE(captures.add(view_of(lines)));
    }
    provider::testing::FailurePoint point(call - 5);
    provider::testing::FailingObjectStore failing(objects, point);
    first = &failing;
    notes.changes_left = call <= 5 ? call : 0;
    auto killed = list();
    (void)expire(killed, clock.now());
    notes.changes_left = 0;
    first = &objects;
    ASSERT_TRUE(finish(stores(), view()));
    auto next = list();
    ASSERT_TRUE(next.settle());
    ASSERT_TRUE(expire(next, clock.now())) << call;
    EXPECT_TRUE(listed().empty()) << call;
    EXPECT_TRUE(stored_blobs().empty()) << call;
    EXPECT_EQ(told(), std::pair(batches, bytes)) << call;
    EXPECT_TRUE(view().unfinished().empty());
  }
}

TEST_F(CapturesTest, a_batch_that_an_artifact_names_stays_in_the_store_for_that) {
  auto captures = list();
  const auto lines = line("exported");
  ASSERT_TRUE(captures.add(view_of(lines)));
  const auto kept = put("evidence", lines);
  clock.advance(hours(1));
  EXPECT_EQ(expire(captures, clock.now())->batches, 1u);
  EXPECT_TRUE(listed().empty());
  EXPECT_TRUE(store.verify(kept.artifact));
  EXPECT_TRUE(view().tombstones().empty());
}

TEST_F(CapturesTest, a_clock_that_was_wrong_for_a_while_holds_nothing_else_back) {
  auto captures = list();
  const auto now = clock.now();
  clock.advance(hours(24 * 365));
  ASSERT_TRUE(captures.add(view_of(line("from the future"))));
  clock.advance(-hours(24 * 365));
  ASSERT_TRUE(captures.add(view_of(line("from today"))));
  clock.advance(hours(1));
  EXPECT_EQ(expire(captures, now)->batches, 1u);
  ASSERT_EQ(listed().size(), 1u);
  EXPECT_GT(listed()[0].stored, clock.now());
}

TEST_F(CapturesTest, a_reader_tells_what_expired_meanwhile_from_what_is_lost) {
  auto captures = list();
  ASSERT_TRUE(captures.add(view_of(line("one"))));
  const auto seen = listed().front();
  ASSERT_TRUE(objects.remove("blobs/" + seen.blob.hex()));
  EXPECT_EQ(read_captures(notes, store, "dev", seen).error().code, ErrorCode::not_found);
  ASSERT_TRUE(expire(captures, clock.now()));
  EXPECT_EQ(read_captures(notes, store, "dev", seen).value(), std::nullopt);
}

TEST_F(CapturesTest, a_list_that_is_none_is_said_to_be_none) {
  notes.notes["captures-dev"] = "text";
  EXPECT_EQ(captured_batches(notes, "dev").error().code, ErrorCode::tampered);
  notes.notes["captures-dev"] = Json::array({{{"blob", "sha256:00"}}});
  EXPECT_EQ(captured_batches(notes, "dev").error().code, ErrorCode::tampered);
  EXPECT_EQ(list().settle().error().code, ErrorCode::tampered);
}

}  // namespace
}  // namespace redoubt::custody
