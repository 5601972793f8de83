// SPDX-License-Identifier: Apache-2.0
#include "governance/policy.h"

#include <gtest/gtest.h>

namespace redoubt::governance {
namespace {

using namespace std::chrono_literals;
const TimePoint kNow = TimePoint{std::chrono::seconds{1'800'000'000}};

AdmissionFacts good() {
  AdmissionFacts facts;
  facts.state = "Approved";
  facts.environment = "production";
  facts.license = "Apache-2.0";
  facts.run_by = {"operator", "second-operator"};
  facts.approved_by = {"reviewer"};
  facts.gate = "pass";
  facts.evaluated = facts.scanned = kNow - 1h;
  return facts;
}

std::size_t refusals(void change(AdmissionFacts&)) {
  auto facts = good();
  change(facts);
  return admission_refusals(Policy{}, facts, kNow).size();
}

TEST(Policy, admits_what_shows_everything) { EXPECT_TRUE(admission_refusals(Policy{}, good(), kNow).empty()); }

TEST(Policy, nothing_shown_is_refused_on_every_count) {
  EXPECT_GE(admission_refusals(Policy{}, AdmissionFacts{}, kNow).size(), 6u);
}

TEST(Policy, each_missing_fact_is_a_refusal_of_its_own) {
  EXPECT_EQ(refusals([](AdmissionFacts& f) { f.state = "PendingManualApproval"; }), 1u);
  EXPECT_EQ(refusals([](AdmissionFacts& f) { f.gate = "undecided"; }), 1u);
  EXPECT_EQ(refusals([](AdmissionFacts& f) { f.approved_by = {"operator"}; }), 1u);
  EXPECT_EQ(refusals([](AdmissionFacts& f) { f.approved_by = {"operator", "second-operator"}; }), 1u);
  EXPECT_EQ(refusals([](AdmissionFacts& f) { f.scanned = kNow - 25h; }), 1u);
  EXPECT_EQ(refusals([](AdmissionFacts& f) { f.scanned = kNow + 1h; }), 1u);
  EXPECT_EQ(refusals([](AdmissionFacts& f) { f.scanned.reset(); }), 1u);
  EXPECT_EQ(refusals([](AdmissionFacts& f) { f.evaluated = kNow - std::chrono::days(91); }), 1u);
  EXPECT_EQ(refusals([](AdmissionFacts& f) { f.vulnerabilities = {{"critical", 1}, {"high", 2}, {"low", 9}}; }), 2u);
  EXPECT_EQ(refusals([](AdmissionFacts& f) { f.environment = "moon"; }), 1u);
}

TEST(Policy, what_is_exploited_is_refused_whatever_its_severity_unless_the_policy_says_otherwise) {
  auto facts = good();
  facts.vulnerabilities = {{"low", 1}};
  facts.exploited = 1;
  Policy policy;
  EXPECT_EQ(admission_refusals(policy, facts, kNow).size(), 1u);
  policy.block_exploited = false;
  EXPECT_TRUE(admission_refusals(policy, facts, kNow).empty());
}

TEST(Policy, an_epss_score_counts_from_the_limit_on) {
  auto facts = good();
  facts.epss_max = 0.5;
  Policy policy;
  EXPECT_TRUE(admission_refusals(policy, facts, kNow).empty());
  policy.epss_block = 0.51;
  EXPECT_TRUE(admission_refusals(policy, facts, kNow).empty());
  policy.epss_block = 0.5;
  EXPECT_EQ(admission_refusals(policy, facts, kNow).size(), 1u);
}

TEST(Policy, an_image_needs_the_signatures_of_those_whom_it_names) {
  auto facts = good();
  Policy policy;
  policy.image_signers = {{"build", "-"}, {"security", "-"}};
  EXPECT_EQ(admission_refusals(policy, facts, kNow).size(), 1u);
  facts.image_signed_by = {"somebody"};
  EXPECT_EQ(admission_refusals(policy, facts, kNow).size(), 1u);
  facts.image_signed_by = {"security"};
  EXPECT_TRUE(admission_refusals(policy, facts, kNow).empty());
  policy.image_signatures_min = 2;
  EXPECT_EQ(admission_refusals(policy, facts, kNow).size(), 1u);
  facts.image_signed_by = {"security", "build"};
  EXPECT_TRUE(admission_refusals(policy, facts, kNow).empty());
}

TEST(Policy, is_read_back_as_it_was_written_and_an_older_one_blocks_what_is_exploited) {
  Policy policy;
  policy.block_exploited = false;
  policy.epss_block = 0.25;
  policy.image_signers = {{"build", "PEM"}};
  policy.image_signatures_min = 2;
  EXPECT_EQ(Policy::from_json(policy.to_json())->to_json(), policy.to_json());
  EXPECT_FALSE(policy.to_json()["images"].contains("signatures_from"));  // a statement of before stays the same
  policy.signatures_from = {"https://registry.example/team/app", "/etc/ca.pem", "registry/login"};
  EXPECT_EQ(Policy::from_json(policy.to_json())->to_json(), policy.to_json());
  EXPECT_EQ(Policy::from_json(policy.to_json())->signatures_from->login_secret, "registry/login");
  Json cut = policy.to_json();
  cut["images"]["signatures_from"].erase("repository");
  EXPECT_FALSE(Policy::from_json(cut));
  Json older = policy.to_json();
  older.erase("images");
  older["vulnerabilities"].erase("block_exploited");
  older["vulnerabilities"].erase("epss_block");
  const auto read = *Policy::from_json(older);
  EXPECT_TRUE(read.block_exploited);
  EXPECT_TRUE(read.image_signers.empty());
  EXPECT_FALSE(read.signatures_from);
}

TEST(Policy, who_misses_a_signature_is_told_where_it_is_looked_for) {
  auto facts = good();
  Policy policy;
  policy.image_signers = {{"build", "-"}};
  policy.signatures_from = {"https://registry.example/team/app", "", ""};
  const auto refused = admission_refusals(policy, facts, kNow);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_NE(refused[0].find("in https://registry.example/team/app"), std::string::npos) << refused[0];
}

TEST(Policy, production_takes_what_has_stood_in_staging_where_it_says_so) {
  Policy policy;
  policy.promotion = {{"production", "staging"}};
  auto facts = good();
  facts.stood_in = {"dev"};
  ASSERT_EQ(admission_refusals(policy, facts, kNow).size(), 1u);
  EXPECT_NE(admission_refusals(policy, facts, kNow)[0].find("staging"), std::string::npos);
  facts.stood_in = {"staging"};
  EXPECT_TRUE(admission_refusals(policy, facts, kNow).empty());
  facts.stood_in = {};
  facts.environment = "staging";
  EXPECT_TRUE(admission_refusals(policy, facts, kNow).empty());
  EXPECT_EQ(Policy::from_json(policy.to_json())->promotion, policy.promotion);
}

TEST(Policy, licenses_count_when_listed) {
  Policy policy;
  policy.licenses = {"MIT"};
  EXPECT_EQ(admission_refusals(policy, good(), kNow).size(), 1u);
}

}  // namespace
}  // namespace redoubt::governance
