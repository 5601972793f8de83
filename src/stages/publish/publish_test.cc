// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "governance/testing_release.h"
#include "stages/publish/model_card.h"
#include "stages/publish/register.h"
#include "stages/publish/review.h"

namespace redoubt::stages::publish {
namespace {

using provider::VersionState;
using ::testing::HasSubstr;

class PublishTest : public ::testing::Test {
 protected:
  Result<governance::RegisteredVersion> publish(const std::string& trained_by = "operator") {
    const auto model = fixture_.acquired();
    const auto data = fixture_.prepared();
    const auto image = fixture_.built();
    const auto adapter = fixture_.trained(trained_by);
    const auto evaluation = fixture_.evaluated();
    auto recorder = fixture_.recorder();
    RegisterDeps deps{fixture_.store, *fixture_.registry, recorder, model_key_, fixture_.clock};
    RegisterOptions options;
    options.name = "m";
    options.description = "A test's model";
    options.license = "Apache-2.0";
    auto registered = register_version({model, data, image, adapter, evaluation}, options, deps);
    TRY(governance::catch_up(*fixture_.evidence, *fixture_.registry));
    return registered;
  }
  Status decide(Decision decision, const std::string& by = "reviewer", const std::string& reason = "as it should be") {
    auto recorder = fixture_.recorder(by);
    ReviewDeps deps{*fixture_.registry, recorder};
    TRY(review({"m", "0.1.0", decision, reason}, deps));
    return governance::catch_up(*fixture_.evidence, *fixture_.registry);
  }
  VersionState state() { return fixture_.registry->get("m", "0.1.0")->state; }
  std::string text_of_output(const governance::RegisteredVersion& version, const char* output, const char* path) {
    const auto manifest = *fixture_.store.manifest(*version.output(output));
    for (const auto& file : manifest.files) {
      if (file.path == path) return to_text(*fixture_.store.read_blob(file.sha256, 1 << 20));
    }
    return "";
  }

  governance::ReleaseFixture fixture_;
  crypto::SigningKey model_key_ = crypto::SigningKey::generate(crypto::SignatureAlgorithm::ecdsa_p256);
};

TEST_F(PublishTest, a_passed_gate_waits_for_a_person) {
  const auto registered = publish();
  ASSERT_TRUE(registered) << registered.error().message;
  EXPECT_EQ(state(), VersionState::pending_manual_approval);
  EXPECT_EQ(fixture_.registry->get("m", "0.1.0")->metrics["eval_loss"], 1.2);
}

TEST_F(PublishTest, a_release_names_the_files_of_model_and_adapter) {
  const auto registered = publish();
  const auto files = fixture_.store.manifest(*registered->output("release"))->files;
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].path, "adapter/file");
  EXPECT_EQ(files[0].sha256, crypto::sha256("a small change"));
  EXPECT_EQ(files[1].path, "base/file");
  EXPECT_EQ(files[1].sha256, crypto::sha256("weights"));
}

TEST_F(PublishTest, a_release_of_a_model_that_was_trained_whole_names_its_files_alone) {
  fixture_.trains_whole = true;
  const auto registered = publish();
  const auto files = fixture_.store.manifest(*registered->output("release"))->files;
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].path, "base/file");
  EXPECT_EQ(files[0].sha256, crypto::sha256("a small change"));
}

TEST_F(PublishTest, the_card_tells_origin_numbers_and_lineage) {
  const auto registered = publish();
  const std::string card = text_of_output(*registered, "card", "card.md");
  EXPECT_THAT(card, HasSubstr("# m 0.1.0"));
  EXPECT_THAT(card, HasSubstr("owner/base"));
  EXPECT_THAT(card, HasSubstr("PendingManualApproval"));
  EXPECT_THAT(card, HasSubstr(fixture_.model.hex()));
  EXPECT_THAT(card, HasSubstr("| perplexity_max | 20 |"));
  EXPECT_THAT(card, HasSubstr("| eval_loss | 1.2000 |"));
  EXPECT_THAT(card, HasSubstr("| learning_rate | 5e-05 |"));
  const auto json = parse_json(text_of_output(*registered, "card", "card.json"), "card.json");
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["lineage"]["train.adapter"], fixture_.adapter.tagged());
  EXPECT_EQ((*json)["gate"]["thresholds"]["perplexity_max"], 20);
}

TEST_F(PublishTest, a_failed_gate_is_registered_as_rejected_for_good) {
  fixture_.gate = "fail";
  ASSERT_TRUE(publish());
  EXPECT_EQ(state(), VersionState::rejected);
  EXPECT_EQ(decide(Decision::approve).error().code, ErrorCode::gate_refused);
  EXPECT_EQ(state(), VersionState::rejected);
}

TEST_F(PublishTest, an_undecided_evaluation_is_not_registered) {
  fixture_.gate = "undecided";
  EXPECT_EQ(publish().error().code, ErrorCode::undecided);
  EXPECT_TRUE(fixture_.registry->list()->empty());
}

TEST_F(PublishTest, who_ran_any_step_cannot_review) {
  ASSERT_TRUE(publish("second"));
  EXPECT_EQ(decide(Decision::approve, "operator").error().code, ErrorCode::permission_denied);
  EXPECT_EQ(decide(Decision::approve, "second").error().code, ErrorCode::permission_denied);
  EXPECT_EQ(decide(Decision::reject, "second").error().code, ErrorCode::permission_denied);
  EXPECT_EQ(state(), VersionState::pending_manual_approval);
  EXPECT_TRUE(decide(Decision::approve));
  EXPECT_EQ(state(), VersionState::approved);
}

TEST_F(PublishTest, a_decision_needs_a_reason) {
  ASSERT_TRUE(publish());
  EXPECT_EQ(decide(Decision::approve, "reviewer", "").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(decide(Decision::approve, "reviewer", std::string(2001, 'x')).error().code, ErrorCode::invalid_argument);
}

TEST_F(PublishTest, what_was_rejected_or_revoked_stays_so) {
  ASSERT_TRUE(publish());
  EXPECT_EQ(decide(Decision::revoke).error().code, ErrorCode::gate_refused);
  ASSERT_TRUE(decide(Decision::approve));
  EXPECT_EQ(decide(Decision::reject).error().code, ErrorCode::gate_refused);
  ASSERT_TRUE(decide(Decision::revoke, "operator", "a flaw came up"));  // taking back is everybody's who may review
  EXPECT_EQ(state(), VersionState::revoked);
  EXPECT_EQ(decide(Decision::approve, "reviewer", "again").error().code, ErrorCode::gate_refused);
  EXPECT_EQ(decide(Decision::approve).error().code, ErrorCode::gate_refused);
}

TEST_F(PublishTest, an_unknown_version_is_not_found) {
  EXPECT_EQ(decide(Decision::approve).error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace redoubt::stages::publish
