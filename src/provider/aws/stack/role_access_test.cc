// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/stack/role_access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "provider/aws/testing_client.h"

namespace redoubt::provider::aws::stack {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kDay = 86'400, kNow = 1'700'000'000;

std::string arn(const std::string& role) { return "arn:aws:iam::123456789012:role/" + role; }

class RoleAccessTest : public ::testing::Test {
 protected:
  RoleAccessTest() {
    client_.answer = [this](const std::string&, const std::string& operation, const Json& input) -> Result<Json> {
      if (operation == refused_) return TestingClient::refuse("AccessDenied", ErrorCode::permission_denied);
      if (operation == "GetRole") {
        const auto name = input["RoleName"].get<std::string>();
        Json role = {{"Arn", arn(name)}, {"CreateDate", kNow - age_days_ * kDay}};
        if (used_.contains(name)) role["RoleLastUsed"] = {{"LastUsedDate", kNow - used_[name] * kDay}};
        return Json{{"Role", role}};
      }
      if (operation == "GenerateServiceLastAccessedDetails") return Json{{"JobId", "j1"}};
      if (operation == "GetServiceLastAccessedDetails") {
        if (++looks_ == 1) return Json{{"JobStatus", "IN_PROGRESS"}};
        return Json{{"JobStatus", job_}, {"ServicesLastAccessed", {{{"ServiceNamespace", "s3"}, {"LastAuthenticated", kNow - kDay}}, {{"ServiceNamespace", "sns"}}, {{"ServiceNamespace", "kms"}, {"LastAuthenticated", kNow - 200 * kDay}}}}};
      }
      if (operation == "ListAnalyzers") return Json{{"analyzers", analyzers_}};
      if (operation == "ListFindingsV2") return Json{{"findings", findings_}};
      if (operation == "GetFindingV2") return Json{{"findingDetails", {{{"unusedPermissionDetails", {{"serviceNamespace", "s3"}, {"actions", {{{"action", "PutObject"}}, {{"action", "GetObject"}}}}}}}}}};
      return Json::object();
    };
  }
  Result<RoleAccessReport> read() {
    return read_role_access(client_, {{"JobRole", "redoubt-dev-job", "AWS::IAM::Role", ""}, {"AuditRole", "redoubt-dev-audit", "AWS::IAM::Role", ""}, {"Vpc", "vpc-1", "AWS::EC2::VPC", ""}},
                            TimePoint(std::chrono::seconds(static_cast<std::int64_t>(kNow))));
  }
  TestingClient client_;
  std::map<std::string, int> used_ = {{"redoubt-dev-job", 1}};
  Json analyzers_ = Json::array({{{"arn", "arn:aws:access-analyzer:eu-central-1:123456789012:analyzer/a"}}}), findings_ = Json::array();
  std::string job_ = "COMPLETED", refused_;
  int age_days_ = 400, looks_ = 0;
};

TEST_F(RoleAccessTest, what_nobody_used_is_named_with_the_role_and_the_cure) {
  const auto report = read().value();
  ASSERT_EQ(report.roles.size(), 2U);
  const auto& job = report.roles[0];
  EXPECT_EQ(job.role, "redoubt-dev-job");
  EXPECT_EQ(job.services, 3);
  ASSERT_EQ(job.findings.size(), 2U);
  EXPECT_EQ(job.findings[0].detail, "sns: never");
  EXPECT_EQ(job.findings[1].detail, "kms: not since 2023-04-28");
  EXPECT_THAT(job.findings[0].cure, HasSubstr("statements of sns"));
  const auto& audit = report.roles[1];
  ASSERT_EQ(audit.findings.size(), 1U);
  EXPECT_EQ(audit.findings[0].what + ": " + audit.findings[0].detail, "unused role: never");
  EXPECT_TRUE(audit.last_used.empty());
}

TEST_F(RoleAccessTest, a_role_that_is_young_has_had_no_time_yet) {
  age_days_ = 30;
  used_.clear();
  const auto report = read().value();
  for (const auto& role : report.roles) EXPECT_THAT(role.findings, IsEmpty());
}

TEST_F(RoleAccessTest, what_the_analyzer_found_is_told_of_the_roles_of_the_stack_alone) {
  used_["redoubt-dev-audit"] = 1;
  findings_ = {{{"id", "f1"}, {"findingType", "ExternalAccess"}, {"resource", arn("redoubt-dev-audit")}}, {{"id", "f2"}, {"findingType", "UnusedPermission"}, {"resource", arn("redoubt-dev-job")}},
               {{"id", "f3"}, {"findingType", "UnusedIAMRole"}, {"resource", arn("somebody-else")}}};
  const auto report = read().value();
  EXPECT_TRUE(report.has_analyzer);
  EXPECT_EQ(report.roles[0].findings.back().what, "UnusedPermission");
  EXPECT_EQ(report.roles[0].findings.back().detail, "s3: PutObject, GetObject");
  EXPECT_EQ(report.roles[1].findings.back().what, "ExternalAccess");
  EXPECT_THAT(report.roles[1].findings.back().cure, HasSubstr("trust policy"));
  analyzers_ = Json::array();
  EXPECT_FALSE(read().value().has_analyzer);
}

TEST_F(RoleAccessTest, what_cannot_be_read_is_an_error_that_names_the_role) {
  job_ = "FAILED";
  EXPECT_EQ(read().error().where, "role redoubt-dev-job");
  refused_ = "GenerateServiceLastAccessedDetails";
  EXPECT_EQ(read().error().code, ErrorCode::permission_denied);
  EXPECT_THAT(read().error().hint, HasSubstr("SecurityAudit"));
}

}  // namespace
}  // namespace redoubt::provider::aws::stack
