// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/compliance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "provider/aws/testing_client.h"

namespace redoubt::provider::aws {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json finding(const char* control, const char* status, const char* resource) {
  return {{"Title", "what the control asks"}, {"Compliance", {{"Status", status}, {"SecurityControlId", control}}}, {"Resources", Json::array({{{"Id", resource}}})}};
}

class ComplianceTest : public ::testing::Test {
 protected:
  ComplianceTest() {
    client_.answer = [this](const std::string& service, const std::string& operation, const Json& input) -> Result<Json> {
      if (operation == refused_) return TestingClient::refuse(refusal_, code_);
      if (operation == "DescribeConfigurationRecorderStatus") return Json{{"ConfigurationRecordersStatus", {{{"recording", is_recording_}}}}};
      if (operation == "DescribeConfigRules") return Json{{"ConfigRules", {{{"ConfigRuleName", "securityhub-tls-1a2b"}, {"Source", {{"Owner", "AWS"}, {"SourceIdentifier", "S3_BUCKET_SSL_REQUESTS_ONLY"}}}},
                                                                          {{"ConfigRuleName", "rotation"}, {"Source", {{"Owner", "AWS"}, {"SourceIdentifier", "CMK_BACKING_KEY_ROTATION_ENABLED"}}}},
                                                                          {{"ConfigRuleName", "somebody-s"}, {"Source", {{"Owner", "CUSTOM_LAMBDA"}, {"SourceIdentifier", "arn:aws:lambda:x"}}}}}}};
      if (operation == "DescribeComplianceByConfigRule") return Json{{"ComplianceByConfigRules", {{{"ConfigRuleName", "securityhub-tls-1a2b"}, {"Compliance", {{"ComplianceType", "NON_COMPLIANT"}}}},
                                                                                                  {{"ConfigRuleName", "rotation"}, {"Compliance", {{"ComplianceType", "COMPLIANT"}}}}}}};
      if (operation == "GetComplianceDetailsByConfigRule") return Json{{"EvaluationResults", {{{"EvaluationResultIdentifier", {{"EvaluationResultQualifier", {{"ResourceType", "AWS::S3::Bucket"}, {"ResourceId", "open-bucket"}}}}}}}}};
      if (service == "securityhub") {
        Json found = Json::array();
        for (const auto& one : findings_) {
          for (const auto& asked : input["Filters"]["ComplianceSecurityControlId"]) {
            if (asked["Value"] == one["Compliance"]["SecurityControlId"]) found.push_back(one);
          }
        }
        return Json{{"Findings", found}};
      }
      return Json::object();
    };
  }
  ControlReport control(std::string_view id, const std::vector<ComplianceCheck>& own = {}) {
    const auto reports = read_compliance(client_, own).value();
    for (const auto& report : reports) {
      if (report.control->id == id) return report;
    }
    return {};
  }
  const ComplianceCheck& check(const ControlReport& report, std::string_view name) {
    return *std::find_if(report.checks.begin(), report.checks.end(), [&](const auto& one) { return one.name == name; });
  }

  TestingClient client_;
  Json findings_ = Json::array();
  bool is_recording_ = true;
  std::string refused_, refusal_ = "AccessDeniedException";
  ErrorCode code_ = ErrorCode::permission_denied;
};

TEST_F(ComplianceTest, a_rule_is_known_by_its_identifier_and_names_what_breaks_it) {
  const auto report = control("encryption-in-transit");
  EXPECT_EQ(report.verdict(), Verdict::failed);
  EXPECT_EQ(check(report, "securityhub-tls-1a2b").verdict, Verdict::failed);
  EXPECT_THAT(check(report, "securityhub-tls-1a2b").resources, ElementsAre("AWS::S3::Bucket open-bucket"));
  EXPECT_EQ(check(report, "S3.5").verdict, Verdict::not_checked);
  EXPECT_EQ(control("key-rotation").verdict(), Verdict::passed);
  EXPECT_EQ(client_.count("GetComplianceDetailsByConfigRule"), 2);  // for the broken rule alone, at each reading
}

TEST_F(ComplianceTest, one_failed_finding_fails_a_control_whatever_passed_before_and_after_it) {
  findings_ = {finding("KMS.4", "PASSED", "key-1"), finding("KMS.4", "FAILED", "key-2"), finding("KMS.4", "PASSED", "key-3"), finding("S3.14", "PASSED", "bucket-1"), finding("EC2.6", "NOT_AVAILABLE", "vpc-1")};
  const auto keys = control("key-rotation");
  EXPECT_EQ(keys.verdict(), Verdict::failed);
  EXPECT_THAT(check(keys, "KMS.4").resources, ElementsAre("key-2"));
  EXPECT_EQ(control("recoverable").verdict(), Verdict::passed);
  EXPECT_THAT(check(control("recoverable"), "S3.14").resources, ElementsAre("bucket-1"));
  EXPECT_EQ(control("network-watched").verdict(), Verdict::not_checked);
}

TEST_F(ComplianceTest, a_guard_that_is_off_or_closed_checks_nothing_and_says_why) {
  is_recording_ = false;
  refused_ = "GetFindings";
  const auto report = control("key-rotation");
  EXPECT_EQ(report.verdict(), Verdict::not_checked);
  EXPECT_THAT(check(report, "CMK_BACKING_KEY_ROTATION_ENABLED").detail, HasSubstr("off in eu-central-1"));
  EXPECT_THAT(check(report, "KMS.4").detail, HasSubstr("allow securityhub:GetFindings"));
  refusal_ = "InvalidAccessException";
  EXPECT_THAT(check(control("key-rotation"), "KMS.4").detail, HasSubstr("Security Hub is off"));
}

TEST_F(ComplianceTest, a_guard_that_cannot_be_reached_is_an_error_and_never_a_pass) {
  refused_ = "DescribeConfigRules";
  refusal_ = "InternalServiceException";
  code_ = ErrorCode::unavailable;
  EXPECT_EQ(read_compliance(client_, {}).error().code, ErrorCode::unavailable);
}

TEST_F(ComplianceTest, our_own_evidence_counts_as_the_guards_do) {
  is_recording_ = false;
  EXPECT_EQ(control("audit-trail", {{"workspace", "ledger", Verdict::passed, {}, {}}}).verdict(), Verdict::passed);
  EXPECT_EQ(control("audit-trail", {{"workspace", "ledger", Verdict::passed, {}, {}}, {"stack", "AWS::CloudTrail::Trail", Verdict::failed, {"Trail"}, "it is gone"}}).verdict(), Verdict::failed);
}

TEST(ComplianceControls, each_has_a_name_of_its_own_and_a_clause_in_every_framework) {
  std::set<std::string_view> ids;
  for (const auto& control : controls()) {
    EXPECT_TRUE(ids.insert(control.id).second) << control.id;
    EXPECT_FALSE(control.rules.empty() && control.controls.empty()) << control.id;
    for (const auto framework : kFrameworks) EXPECT_FALSE(control.clauses(framework).empty()) << control.id;
  }
  for (const auto framework : kFrameworks) EXPECT_EQ(framework_of(to_string(framework)), framework);
  EXPECT_EQ(framework_of("iso"), std::nullopt);
}

}  // namespace
}  // namespace redoubt::provider::aws
