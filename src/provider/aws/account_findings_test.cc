// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/account_findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "provider/aws/testing_client.h"

namespace redoubt::provider::aws {
namespace {

using ::testing::HasSubstr;

Json login(const char* outcome) { return {{"EventName", "ConsoleLogin"}, {"Username", "jane"}, {"CloudTrailEvent", dump_json({{"responseElements", {{"ConsoleLogin", outcome}}}})}}; }

class AccountFindingsTest : public ::testing::Test {
 protected:
  AccountFindingsTest() {
    client_.answer = [this](const std::string& service, const std::string& operation, const Json&) -> Result<Json> {
      if (operation == refused_) return TestingClient::refuse("AccessDeniedException", ErrorCode::permission_denied);
      if (operation == "ListDetectors") return Json{{"detectorIds", detectors_}};
      if (service == "guardduty" && operation == "ListFindings") return Json{{"findingIds", {"g1"}}};
      if (service == "guardduty" && operation == "GetFindings") return Json{{"findings", {{{"id", "g1"}, {"severity", 8.0}, {"type", "Recon:IAMUser/MaliciousIPCaller"}, {"title", "An API was called from a known bad address."}, {"createdAt", "2026-11-23T10:00:00.000Z"}}}}};
      if (service == "inspector2") return Json{{"findings", {{{"findingArn", "arn:i1"}, {"severity", "CRITICAL"}, {"type", "PACKAGE_VULNERABILITY"}, {"title", "CVE-2026-0001 - openssl"}, {"firstObservedAt", 1'700'000'000.0}}}}};
      if (operation == "DescribeConfigurationRecorderStatus") return Json{{"ConfigurationRecordersStatus", {{{"name", "default"}, {"recording", is_recording_}}}}};
      if (service == "config") return Json{{"ComplianceByConfigRules", broken_rules_}};
      if (service == "securityhub" && !has_hub_) return TestingClient::refuse("InvalidAccessException", ErrorCode::permission_denied);
      if (service == "securityhub") return Json{{"Findings", failed_controls_}};
      if (operation == "ListAnalyzers") return Json{{"analyzers", Json::array({{{"arn", "arn:aws:access-analyzer:eu-central-1:123456789012:analyzer/a"}}})}};
      if (operation == "ListFindingsV2") return Json{{"findings", accesses_}};
      return Json{{"Events", logins_}};
    };
  }
  FakeClock clock_;
  TestingClient client_;
  Json detectors_ = {"d1"}, logins_ = Json::array();
  Json broken_rules_ = Json::array(), failed_controls_ = Json::array(), accesses_ = Json::array();
  bool is_recording_ = true, has_hub_ = true;
  std::string refused_;
};

TEST_F(AccountFindingsTest, broken_rules_failed_controls_and_open_roles_are_findings) {
  broken_rules_.push_back({{"ConfigRuleName", "s3-bucket-ssl-requests-only"}, {"Compliance", {{"ComplianceType", "NON_COMPLIANT"}}}});
  failed_controls_.push_back({{"Id", "arn:f1"}, {"Severity", {{"Label", "HIGH"}}}, {"Compliance", {{"Status", "FAILED"}, {"SecurityControlId", "S3.5"}}}, {"Title", "Buckets should require TLS"}, {"FirstObservedAt", "2026-11-20T10:00:00.000Z"}});
  accesses_.push_back({{"id", "a1"}, {"findingType", "UnusedIAMRole"}, {"resource", "arn:aws:iam::123456789012:role/old"}, {"createdAt", "2026-11-21T10:00:00.000Z"}, {"status", "ACTIVE"}});
  const auto found = read_account_findings(client_, clock_).value();
  ASSERT_EQ(found.size(), 5u);
  EXPECT_EQ(found[0].source + " " + found[0].type + " " + found[0].severity, "accessanalyzer UnusedIAMRole medium");
  EXPECT_EQ(found[1].source + " " + found[1].id, "config s3-bucket-ssl-requests-only");
  EXPECT_EQ(found[4].source + " " + found[4].type + " " + found[4].severity, "securityhub S3.5 high");
  is_recording_ = has_hub_ = false;
  const auto without = read_account_findings(client_, clock_).value();
  EXPECT_EQ(std::count_if(without.begin(), without.end(), [](const auto& one) { return one.type == "GuardIsOff"; }), 2);
}

TEST_F(AccountFindingsTest, reads_each_guard_in_one_form) {
  const auto found = read_account_findings(client_, clock_).value();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].source, "guardduty");
  EXPECT_EQ(found[0].severity, "high");
  EXPECT_EQ(found[1].source, "inspector");
  EXPECT_EQ(found[1].severity, "critical");
  EXPECT_EQ(found[1].time, "2023-11-14T22:13:20.000Z");
}

TEST_F(AccountFindingsTest, a_guard_that_is_off_is_a_finding) {
  detectors_ = Json::array();
  EXPECT_EQ(read_account_findings(client_, clock_).value()[0].type, "GuardIsOff");
}

TEST_F(AccountFindingsTest, failed_sign_ins_are_counted_and_nobody_is_named) {
  for (int i = 0; i < 5; ++i) logins_.push_back(login("Failure"));
  logins_.push_back(login("Success"));
  EXPECT_EQ(read_account_findings(client_, clock_).value().size(), 2u);
  logins_.push_back(login("Failure"));
  const auto found = read_account_findings(client_, clock_).value();
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].source, "cloudtrail");
  EXPECT_THAT(found[0].title, HasSubstr("6 failed"));
  EXPECT_EQ(found[0].title.find("jane"), std::string::npos);
}

TEST_F(AccountFindingsTest, a_guard_that_cannot_be_read_is_an_error_with_the_cure) {
  for (const auto& [operation, cure] : {std::pair("ListDetectors", "guardduty:ListDetectors"), std::pair("LookupEvents", "cloudtrail:LookupEvents")}) {
    refused_ = operation;
    const auto error = read_account_findings(client_, clock_).error();
    EXPECT_EQ(error.code, ErrorCode::permission_denied);
    EXPECT_THAT(error.hint, HasSubstr(cure));
  }
}

}  // namespace
}  // namespace redoubt::provider::aws
