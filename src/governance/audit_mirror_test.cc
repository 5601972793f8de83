// SPDX-License-Identifier: Apache-2.0
#include "governance/audit_mirror.h"

#include <gtest/gtest.h>

#include "governance/testing_release.h"
#include "provider/testing/fake_audit_sink.h"

namespace redoubt::governance {
namespace {

constexpr const char* kOrigin = "redoubt.test/1";

class AuditMirror : public ::testing::Test {
 protected:
  void record(const std::string& name, Json result) { (void)release_.record<AcquireStep>({}, {{"model", crypto::sha256(name)}}, std::move(result), "operator", {{"name", name}}); }
  Result<std::uint64_t> mirror() { return mirror_audit(*release_.evidence, kOrigin, sink_); }
  ReleaseFixture release_;
  provider::testing::FakeAuditSink sink_;
};

TEST_F(AuditMirror, tells_each_entry_once_and_in_order) {
  for (int i = 0; i < 3; ++i) record(std::to_string(i), {{"files", i}});
  EXPECT_EQ(mirror().value(), 3u);
  EXPECT_EQ(mirror().value(), 0u);
  record("later", {{"files", 3}});
  EXPECT_EQ(mirror().value(), 1u);
  ASSERT_EQ(sink_.received.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(sink_.received[i].index, i);
    EXPECT_EQ(sink_.received[i].summary["files"], i);
    EXPECT_EQ(sink_.received[i].statement, release_.evidence->at(i)->digest.tagged());
  }
}

TEST_F(AuditMirror, a_sink_that_failed_gets_all_of_it_later) {
  record("a", Json::object());
  record("b", Json::object());
  sink_.failures_left = 1;
  EXPECT_EQ(mirror().error().code, ErrorCode::unavailable);
  EXPECT_EQ(mirror().value(), 2u);
}

TEST_F(AuditMirror, a_trail_that_is_longer_than_the_ledger_is_tampered) {
  sink_.received.push_back({});
  EXPECT_EQ(mirror().error().code, ErrorCode::tampered);
}

TEST_F(AuditMirror, leaves_out_what_a_person_wrote_and_what_is_deep) {
  record("a", {{"decision", "approve"}, {"reason", "Jane Doe says so"}, {"metrics", {{"loss", 1.5}, {"deep", {{"x", 1}}}, {"reason", "no"}}}, {"rows", {1, 2}}, {"long", std::string(300, 'x')}});
  ASSERT_TRUE(mirror());
  const Json expected = {{"decision", "approve"}, {"metrics", {{"loss", 1.5}}}, {"outputs", {{"model", crypto::sha256("a").tagged()}}}};
  EXPECT_EQ(sink_.received.at(0).summary, expected);
}

}  // namespace
}  // namespace redoubt::governance
