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

TEST(Policy, licenses_count_when_listed) {
  Policy policy;
  policy.licenses = {"MIT"};
  EXPECT_EQ(admission_refusals(policy, good(), kNow).size(), 1u);
}

}  // namespace
}  // namespace redoubt::governance
