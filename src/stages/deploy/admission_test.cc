// SPDX-License-Identifier: Apache-2.0
#include "stages/deploy/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "governance/testing_release.h"
#include "stages/deploy/deployment.h"

namespace redoubt::stages::deploy {
namespace {

using namespace governance;
using ::testing::HasSubstr;

class AdmissionTest : public ::testing::Test {
 protected:
  void register_version(const std::string& version = "0.1.0", const std::string& trained_by = "operator") {
    const auto acquired = fixture_.acquired();
    const auto data = fixture_.prepared();
    const auto image = fixture_.built();
    const auto adapter = fixture_.trained(trained_by);
    const auto evaluation = fixture_.evaluated();
    std::map<std::string, Digest> inputs = {{"statement:acquire", acquired.statement()}, {"statement:data", data.statement()},
                                            {"statement:image", image.statement()}, {"statement:train", adapter.statement()},
                                            {"statement:evaluate", evaluation.statement()}};
    inputs.erase(left_out_);
    const Json result = {{"name", "m"}, {"version", version}, {"state", "PendingManualApproval"}, {"metrics", Json::object()}, {"reason", ""}};
    registered_ = fixture_.record<RegisterStep>(inputs, {{"release", fixture_.artifact("release", version)}}, result, "operator",
                                                {{"version", version}, {"license", "Apache-2.0"}}).statement();
  }
  void decide(const char* decision, const std::string& by = "reviewer", const std::string& version = "0.1.0") {
    fixture_.record<ReviewStep>({{"statement:register", *registered_}}, {}, {{"name", "m"}, {"version", version}, {"decision", decision}, {"reason", "r"}}, by,
                                {{"decision", decision}, {"by", by}});
  }
  Result<AdmittedRelease> admit(const std::string& version = "0.1.0", const Policy& policy = {}, const std::string& environment = "production") {
    recorder_.emplace(fixture_.recorder());
    Admission admission({*fixture_.evidence, *fixture_.registry, fixture_.store, *recorder_, fixture_.clock,
                         [this](const std::string& identity) { return identity != not_a_reviewer_; },
                         [this](const Digest&) -> Result<ScanFacts> {
                           if (!feed_) return fail(ErrorCode::unavailable, "no advisory feed");
                           ScanFacts facts{fixture_.clock.now(), vulnerabilities_};
                           facts.exploited = exploited_;
                           facts.vex = Json::array({{{"name", "vex.json"}, {"digest", "sha256:00"}}});
                           return facts;
                         },
                         [this](const Digest& image, const Policy& asked) -> Result<std::set<std::string>> {
                           if (asked.signatures_from && !registry_answers_) return fail(ErrorCode::unavailable, "the registry does not answer");
                           const auto& names = asked.signatures_from ? signed_by_there_ : signed_by_;
                           return image == fixture_.image ? names : std::set<std::string>();
                         }});
    return admission.admit("m", version, environment, policy);
  }
  void expect_refused(const std::string& why, ErrorCode code = ErrorCode::gate_refused) {
    const auto admitted = admit();
    ASSERT_FALSE(admitted);
    EXPECT_EQ(admitted.error().code, code) << admitted.error().message;
    EXPECT_THAT(admitted.error().message, HasSubstr(why));
  }

  ReleaseFixture fixture_;
  std::optional<Digest> registered_;
  std::optional<StepRecorder> recorder_;
  std::string left_out_, not_a_reviewer_ = "operator";
  bool feed_ = true;
  std::map<std::string, int> vulnerabilities_;
  int exploited_ = 0;
  std::set<std::string> signed_by_, signed_by_there_;
  bool registry_answers_ = true;
};

TEST_F(AdmissionTest, an_approved_version_with_a_whole_chain_is_admitted) {
  register_version();
  decide("approve");
  const auto admitted = admit();
  ASSERT_TRUE(admitted) << admitted.error().message;
  EXPECT_EQ(admitted->image(), fixture_.image);
  EXPECT_EQ(admitted->training_data(), fixture_.train_data);
  EXPECT_EQ(admitted->release(), fixture_.artifact("release", "0.1.0"));
}

TEST_F(AdmissionTest, a_version_without_a_decision_waits_and_a_refused_one_is_refused) {
  register_version();
  expect_refused("waits for a person", ErrorCode::waiting);
  decide("reject");
  expect_refused("Rejected");
}

TEST_F(AdmissionTest, an_approval_by_who_may_not_or_who_ran_a_step_does_not_count) {
  register_version("0.1.0", "second");
  decide("approve", "operator");
  expect_refused("0 of 1 approvals");
  decide("approve", "second");
  expect_refused("0 of 1 approvals");
  decide("approve");
  EXPECT_TRUE(admit());
  not_a_reviewer_ = "reviewer";
  expect_refused("0 of 1 approvals");
}

TEST_F(AdmissionTest, two_approvals_are_two_people) {
  register_version();
  decide("approve");
  Policy policy;
  policy.approvals_min = 2;
  EXPECT_EQ(admit("0.1.0", policy).error().code, ErrorCode::gate_refused);
  decide("approve", "second");
  EXPECT_TRUE(admit("0.1.0", policy));
}

TEST_F(AdmissionTest, a_chain_that_does_not_fit_together_is_tampered) {
  const Digest other = crypto::sha256("other");
  const std::vector<std::pair<std::optional<Digest>*, const char*>> links = {
      {&fixture_.trained_on_model, "trained on another model"}, {&fixture_.trained_on_data, "trained on other data"},
      {&fixture_.trained_by_image, "trained by another image"}, {&fixture_.evaluated_model, "another model was evaluated"},
      {&fixture_.evaluated_data, "used other data"},            {&fixture_.evaluated_adapter, "another adapter was evaluated"}};
  int number = 1;
  for (const auto& [link, why] : links) {
    *link = other;
    const std::string version = "0." + std::to_string(number++) + ".0";
    register_version(version);
    decide("approve", "reviewer", version);
    const auto admitted = admit(version);
    ASSERT_FALSE(admitted) << why;
    EXPECT_EQ(admitted.error().code, ErrorCode::tampered);
    EXPECT_THAT(admitted.error().message, HasSubstr(why));
    link->reset();
  }
}

TEST_F(AdmissionTest, a_model_that_was_trained_whole_is_admitted_where_it_was_evaluated) {
  fixture_.trains_whole = true;
  register_version("0.1.0");
  decide("approve", "reviewer", "0.1.0");
  EXPECT_TRUE(admit("0.1.0"));
  fixture_.evaluated_adapter = crypto::sha256("other");
  register_version("0.2.0");
  decide("approve", "reviewer", "0.2.0");
  const auto admitted = admit("0.2.0");
  ASSERT_FALSE(admitted);
  EXPECT_EQ(admitted.error().code, ErrorCode::tampered);
  EXPECT_THAT(admitted.error().message, HasSubstr("another model was evaluated"));
}

TEST_F(AdmissionTest, a_chain_without_one_of_its_steps_is_tampered) {
  int number = 1;
  for (const char* step : {"acquire", "data", "image", "train", "evaluate"}) {
    left_out_ = std::string("statement:") + step;
    const std::string version = "0." + std::to_string(number++) + ".0";
    register_version(version);
    decide("approve", "reviewer", version);
    EXPECT_EQ(admit(version).error().code, ErrorCode::tampered) << step;
  }
}

TEST_F(AdmissionTest, a_registry_that_names_another_release_is_tampered) {
  register_version();
  decide("approve");
  auto row = *fixture_.registry->get("m", "0.1.0");
  row.version = "0.2.0";
  row.digest = crypto::sha256("other").tagged();
  ASSERT_TRUE(fixture_.registry->apply({{100, {row}, {}}}));
  EXPECT_EQ(admit("0.2.0").error().code, ErrorCode::tampered);
}

TEST_F(AdmissionTest, a_changed_file_of_the_release_is_tampered) {
  register_version();
  decide("approve");
  const auto file = fixture_.store.manifest(fixture_.artifact("release", "0.1.0"))->files[0].sha256;
  auto& bytes = fixture_.objects.bytes_of("blobs/" + file.hex());
  bytes[bytes.size() / 2] ^= 1;
  expect_refused("", ErrorCode::tampered);
}

TEST_F(AdmissionTest, no_feed_or_an_open_finding_stops_it) {
  register_version();
  decide("approve");
  vulnerabilities_ = {{"critical", 1}};
  expect_refused("1 open critical");
  vulnerabilities_ = {{"low", 7}};
  EXPECT_TRUE(admit());
  feed_ = false;
  expect_refused("no advisory feed", ErrorCode::unavailable);
}

TEST_F(AdmissionTest, an_exploited_finding_stops_it) {
  register_version();
  decide("approve");
  exploited_ = 1;
  expect_refused("known to be exploited");
}

TEST_F(AdmissionTest, an_image_that_a_policy_wants_signed_is_admitted_by_its_signers_alone) {
  register_version();
  decide("approve");
  Policy policy;
  policy.image_signers = {{"build", "PEM"}};
  const auto refused = admit("0.1.0", policy);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::gate_refused);
  EXPECT_THAT(refused.error().message, HasSubstr("0 of 1 signatures"));
  signed_by_ = {"build"};
  const auto admitted = admit("0.1.0", policy);
  ASSERT_TRUE(admitted) << admitted.error().message;
  EXPECT_EQ(admitted->evidence()["image_signed_by"], Json::array({"build"}));
  EXPECT_EQ(admitted->evidence()["scan"]["vex"][0]["name"], "vex.json");
  EXPECT_FALSE(admitted->evidence().contains("image_signatures_from"));
}

TEST_F(AdmissionTest, where_a_registry_is_named_its_signatures_count_alone_and_its_silence_refuses) {
  register_version();
  decide("approve");
  Policy policy;
  policy.image_signers = {{"build", "PEM"}};
  policy.signatures_from = {"https://registry.example/team/app", "", ""};
  signed_by_ = {"build"};  // here, which is not where the policy looks
  const auto elsewhere = admit("0.1.0", policy);
  ASSERT_FALSE(elsewhere);
  EXPECT_EQ(elsewhere.error().code, ErrorCode::gate_refused);
  EXPECT_THAT(elsewhere.error().message, HasSubstr("https://registry.example/team/app"));
  signed_by_there_ = {"somebody"};
  EXPECT_EQ(admit("0.1.0", policy).error().code, ErrorCode::gate_refused);
  signed_by_there_ = {"build"};
  registry_answers_ = false;
  EXPECT_EQ(admit("0.1.0", policy).error().code, ErrorCode::unavailable);
  registry_answers_ = true;
  const auto admitted = admit("0.1.0", policy);
  ASSERT_TRUE(admitted) << admitted.error().message;
  EXPECT_EQ(admitted->evidence()["image_signatures_from"], "https://registry.example/team/app");
}

TEST_F(AdmissionTest, a_failed_gate_has_no_way_past_it) {
  fixture_.gate = "fail";
  register_version();
  decide("approve");
  expect_refused("did not pass its thresholds");
}

class DeploymentTest : public AdmissionTest {
 protected:
  Deployment deploy(const std::string& version, DeploymentOptions options = {}, const std::string& environment = "production") {
    const auto admitted = admit(version, {}, environment);
    CHECK(admitted.has_value());
    auto done = record_deployment(*admitted, options, *fixture_.evidence, *fixture_.registry, *recorder_);
    CHECK(done.has_value());
    CHECK(catch_up(*fixture_.evidence, *fixture_.registry).has_value());
    return *done;
  }
};

TEST_F(DeploymentTest, the_newest_decision_counts_and_the_one_before_is_where_a_rollback_goes) {
  EXPECT_FALSE(current_deployment(*fixture_.evidence, "production")->has_value());
  for (const char* version : {"0.1.0", "0.2.0"}) {
    register_version(version);
    decide("approve", "reviewer", version);
  }
  const auto first = deploy("0.1.0");
  EXPECT_TRUE(deploy("0.1.0").reused());
  EXPECT_FALSE((*previous_deployment(*fixture_.evidence, "production")).has_value());
  deploy("0.2.0");
  EXPECT_EQ((*current_deployment(*fixture_.evidence, "production"))->version(), "0.2.0");
  EXPECT_EQ((*previous_deployment(*fixture_.evidence, "production"))->version(), "0.1.0");
  EXPECT_EQ(fixture_.registry->get("m", "0.1.0")->state, provider::VersionState::approved);
  const auto back = deploy("0.1.0", {Json::object(), true});
  EXPECT_NE(back.statement(), first.statement());
  EXPECT_EQ((*current_deployment(*fixture_.evidence, "production"))->version(), "0.1.0");
  EXPECT_EQ(fixture_.registry->get("m", "0.2.0")->state, provider::VersionState::approved);
  EXPECT_FALSE((*current_deployment(*fixture_.evidence, "staging")).has_value());
}

TEST_F(DeploymentTest, a_version_that_still_stands_in_another_environment_stays_deployed) {
  for (const char* version : {"0.1.0", "0.2.0"}) {
    register_version(version);
    decide("approve", "reviewer", version);
  }
  const auto state_of = [&](const char* version) { return fixture_.registry->get("m", version)->state; };
  deploy("0.1.0", {}, "staging");
  deploy("0.1.0");
  deploy("0.2.0", {}, "staging");
  EXPECT_EQ(state_of("0.1.0"), provider::VersionState::deployed);
  deploy("0.2.0");
  EXPECT_EQ(state_of("0.1.0"), provider::VersionState::approved);
  EXPECT_EQ(state_of("0.2.0"), provider::VersionState::deployed);
}

struct RolloutStep {
  static constexpr const char* kName = governance::kRolloutEvent;
};

class RolloutTest : public DeploymentTest {
 protected:
  void SetUp() override {
    DeploymentTest::SetUp();
    for (const char* version : {"0.1.0", "0.2.0", "0.3.0"}) {
      register_version(version);
      decide("approve", "reviewer", version);
    }
    deploy("0.1.0");
  }
  Deployment begin(const std::string& version) {
    DeploymentOptions options;
    options.rollout = {{"kind", "canary"}};
    return deploy(version, options);
  }
  Standing standing() { return standing_of(*fixture_.evidence, "production").value(); }
  void decide_rollout(RolloutAction action) {
    const auto now = standing();
    const auto event = rollout_event(*fixture_.evidence, *now.candidate, *now.current, action, "because", *fixture_.registry).value();
    governance::StepPlan plan;
    plan.parameters = {{"number", ++decisions_}};
    CHECK(recorder_->run<RolloutStep>(plan, [&]() -> Result<governance::StepProduct> { return governance::StepProduct{{}, event}; }).has_value());
    CHECK(catch_up(*fixture_.evidence, *fixture_.registry).has_value());
  }
  std::string states() {
    std::string all;
    for (const char* version : {"0.1.0", "0.2.0"}) all += std::string(provider::to_string(fixture_.registry->get("m", version)->state)) + " ";
    return all;
  }
  int decisions_ = 0;
};

TEST_F(RolloutTest, what_stands_stands_until_the_candidate_is_promoted) {
  const auto tried = begin("0.2.0");
  EXPECT_EQ(standing().current->version(), "0.1.0");
  EXPECT_EQ(standing().candidate->version(), "0.2.0");
  EXPECT_EQ((*current_deployment(*fixture_.evidence, "production"))->version(), "0.1.0");
  EXPECT_EQ(states(), "Deployed Deployed ");
  EXPECT_TRUE(begin("0.2.0").reused());
  EXPECT_TRUE(deploy("0.1.0").reused());
  decide_rollout(RolloutAction::shifted);
  EXPECT_EQ(standing().candidate->statement, tried.statement());
  decide_rollout(RolloutAction::promoted);
  EXPECT_EQ(standing().current->version(), "0.2.0");
  EXPECT_FALSE(standing().candidate);
  EXPECT_EQ(states(), "Approved Deployed ");
  EXPECT_EQ((*previous_deployment(*fixture_.evidence, "production"))->version(), "0.1.0");
  EXPECT_TRUE(deploy("0.2.0").reused());  // as a restart does
}

TEST_F(RolloutTest, what_was_rolled_back_never_served_and_may_be_tried_again) {
  const auto first = begin("0.2.0");
  decide_rollout(RolloutAction::rolled_back);
  EXPECT_EQ(standing().current->version(), "0.1.0");
  EXPECT_FALSE(standing().candidate);
  EXPECT_EQ(states(), "Deployed Approved ");
  EXPECT_FALSE((*previous_deployment(*fixture_.evidence, "production")).has_value());
  EXPECT_NE(begin("0.2.0").statement(), first.statement());
  EXPECT_EQ(standing().candidate->version(), "0.2.0");
}

TEST_F(RolloutTest, one_at_a_time_and_beside_its_own_kind) {
  begin("0.2.0");
  const auto admitted = admit("0.3.0");
  const auto other = record_deployment(*admitted, {}, *fixture_.evidence, *fixture_.registry, *recorder_);
  EXPECT_EQ(other.error().code, ErrorCode::already_exists);
  EXPECT_THAT(other.error().hint, HasSubstr("redoubt rollback"));
  decide_rollout(RolloutAction::rolled_back);
  DeploymentOptions options;
  options.rollout = {{"kind", "canary"}};
  options.endpoint = {{"other", 1}};
  EXPECT_EQ(record_deployment(*admit("0.1.0"), options, *fixture_.evidence, *fixture_.registry, *recorder_).error().code, ErrorCode::invalid_argument);
}

TEST_F(RolloutTest, a_policy_may_ask_that_the_bytes_have_served_elsewhere) {
  Policy policy;
  policy.promotion = {{"production", "staging"}};
  EXPECT_THAT(admit("0.2.0", policy).error().message, HasSubstr("have not served in staging"));
  begin("0.2.0");
  EXPECT_TRUE(environments_of(*fixture_.evidence, fixture_.artifact("release", "0.2.0"), fixture_.image)->empty());  // tried is not served
  decide_rollout(RolloutAction::promoted);
  EXPECT_EQ(*environments_of(*fixture_.evidence, fixture_.artifact("release", "0.2.0"), fixture_.image), std::set<std::string>{"production"});
  EXPECT_EQ(*environments_of(*fixture_.evidence, fixture_.artifact("release", "0.1.0"), fixture_.image), std::set<std::string>{"production"});
}

TEST_F(RolloutTest, what_stands_in_another_environment_is_left_there) {
  deploy("0.1.0", {}, "staging");
  deploy("0.2.0", {}, "dev");
  begin("0.2.0");
  decide_rollout(RolloutAction::rolled_back);
  EXPECT_EQ(states(), "Deployed Deployed ");
  begin("0.2.0");
  decide_rollout(RolloutAction::promoted);
  EXPECT_EQ(states(), "Deployed Deployed ");
}

TEST_F(RolloutTest, a_revoked_candidate_stays_revoked) {
  begin("0.2.0");
  decide("revoke", "reviewer", "0.2.0");
  decide_rollout(RolloutAction::rolled_back);
  EXPECT_EQ(states(), "Deployed Revoked ");
}

}  // namespace
}  // namespace redoubt::stages::deploy
