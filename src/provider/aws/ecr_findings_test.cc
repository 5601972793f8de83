// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/ecr_findings.h"

#include <gtest/gtest.h>

#include "crypto/hash.h"
#include "provider/aws/testing_client.h"

namespace redoubt::provider::aws {
namespace {

const Digest kImage = crypto::sha256("image");

class EcrFindingsTest : public testing::Test {
 protected:
  Result<std::vector<ImageFinding>> read(Json answer) {
    client_.answer = [answer](const auto&, const auto&, const auto&) -> Result<Json> { return answer; };
    return EcrFindings({"redoubt", {1, 1, 1}}, client_).read(kImage);
  }
  static Json scan(const char* status, Json findings = Json::object()) { return {{"imageScanStatus", {{"status", status}, {"description", "why"}}}, {"imageScanFindings", std::move(findings)}}; }
  TestingClient client_;
};

TEST_F(EcrFindingsTest, basic_findings_are_read_from_their_attributes) {
  const Json finding = Json::parse(R"({"name": "CVE-2026-0001", "severity": "HIGH", "attributes": [{"key": "package_name", "value": "openssl"},
    {"key": "package_version", "value": "3.0.11-1"}, {"key": "CVSS3_SCORE", "value": "8.1"}, {"key": "CVSS2_SCORE", "value": "5.0"}]})");
  const auto found = read(scan("COMPLETE", {{"findings", Json::array({finding})}}));
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->at(0).id + found->at(0).package + found->at(0).installed + found->at(0).severity, "CVE-2026-0001openssl3.0.11-1high");
  EXPECT_DOUBLE_EQ(found->at(0).cvss, 8.1);
  EXPECT_EQ(client_.last("DescribeImageScanFindings")["imageId"]["imageDigest"], kImage.tagged());
}

TEST_F(EcrFindingsTest, enhanced_findings_count_once_a_package_and_closed_ones_do_not) {
  const Json findings = Json::parse(R"([{"status": "ACTIVE", "severity": "CRITICAL", "score": 9.8, "packageVulnerabilityDetails": {"vulnerabilityId": "CVE-2026-0002",
      "vulnerablePackages": [{"name": "zlib", "version": "1.2.13", "release": "1", "fixedInVersion": "1.3"}, {"name": "zlib-dev", "version": "1.2.13", "fixedInVersion": "NotAvailable"}]}},
    {"status": "SUPPRESSED", "severity": "HIGH", "packageVulnerabilityDetails": {"vulnerabilityId": "CVE-2026-0003", "vulnerablePackages": [{"name": "a", "version": "1"}]}}])");
  const auto found = read(scan("ACTIVE", {{"enhancedFindings", findings}}));
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 2u);
  EXPECT_EQ(found->at(0).installed, "1.2.13-1");
  EXPECT_EQ(found->at(0).fixed, "1.3");
  EXPECT_EQ(found->at(1).fixed, "");
  EXPECT_EQ(found->at(1).severity, "critical");
}

TEST_F(EcrFindingsTest, all_pages_are_read) {
  client_.answer = [](const auto&, const auto&, const auto& input) -> Result<Json> {
    Json answer = scan("COMPLETE", {{"findings", Json::array({{{"name", input.contains("nextToken") ? "B" : "A"}, {"severity", "LOW"}}})}});
    if (!input.contains("nextToken")) answer["nextToken"] = "2";
    return answer;
  };
  EXPECT_EQ(EcrFindings({"redoubt", {1, 1, 1}}, client_).read(kImage)->size(), 2u);
}

TEST_F(EcrFindingsTest, a_scan_that_failed_or_never_ends_is_no_clean_scan) {
  for (const char* status : {"FAILED", "SCAN_ELIGIBILITY_EXPIRED", "FINDINGS_UNAVAILABLE", "LIMIT_EXCEEDED", "IMAGE_ARCHIVED", "SOMETHING_NEW"}) {
    const auto found = read(scan(status));
    ASSERT_FALSE(found) << status;
    EXPECT_EQ(found.error().code, ErrorCode::gate_refused);
    EXPECT_NE(found.error().message.find(status), std::string::npos);
    EXPECT_NE(found.error().where.find("redoubt@sha256:"), std::string::npos);
  }
  const auto never = read(scan("IN_PROGRESS"));
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().code, ErrorCode::limit_exceeded);
  EXPECT_NE(never.error().hint.find("findings_wait_s"), std::string::npos);
  EXPECT_TRUE(read(scan("UNSUPPORTED_IMAGE"))->empty());
}

TEST_F(EcrFindingsTest, a_scan_that_is_not_there_yet_is_waited_for) {
  int calls = 0;
  client_.answer = [&](const auto&, const auto&, const auto&) -> Result<Json> {
    if (++calls < 3) return TestingClient::refuse("ScanNotFoundException", ErrorCode::not_found);
    return scan("COMPLETE");
  };
  EXPECT_TRUE(EcrFindings({"redoubt", {1, 1, 5}}, client_).read(kImage));
}

}  // namespace
}  // namespace redoubt::provider::aws
