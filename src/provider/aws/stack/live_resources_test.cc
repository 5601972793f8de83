// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/stack/live_resources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "provider/aws/testing_client.h"

namespace redoubt::provider::aws::stack {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LiveResourcesTest : public ::testing::Test {
 protected:
  LiveResourcesTest() {
    client_.answer = [this](const std::string&, const std::string& operation, const Json&) -> Result<Json> {
      const auto found = answers_.find(operation);
      if (found == answers_.end()) return TestingClient::refuse("NoSuchThing", ErrorCode::not_found);
      return found->second;
    };
  }
  LiveResource read(const std::string& type, const Json& wanted, const std::string& id = "id") { return read_live(client_, type, id, wanted).value().value(); }

  TestingClient client_;
  std::map<std::string, Json> answers_;
};

TEST_F(LiveResourcesTest, a_bucket_tells_its_lock_its_copies_and_whether_mfa_delete_is_on) {
  answers_["HeadBucket"] = Json::object();
  answers_["GetBucketVersioning"] = {{"Status", "Enabled"}, {"MFADelete", "Enabled"}};
  answers_["GetObjectLockConfiguration"] = {{"ObjectLockConfiguration", {{"ObjectLockEnabled", "Enabled"}, {"Rule", {{"DefaultRetention", {{"Mode", "GOVERNANCE"}, {"Days", 30}}}}}}}};
  answers_["GetBucketReplication"] = {{"ReplicationConfiguration", {{"Role", "r"}, {"Rules", {{{"ID", "replica"}, {"Status", "Enabled"}, {"SourceSelectionCriteria", {{"SseKmsEncryptedObjects", {{"Status", "Enabled"}}}}},
                                                                                           {"Destination", {{"Bucket", "b"}, {"EncryptionConfiguration", {{"ReplicaKmsKeyID", "k"}}}}}}}}}}};
  const auto live = read("AWS::S3::Bucket", {{"ObjectLockConfiguration", Json::object()}, {"ReplicationConfiguration", Json::object()}});
  EXPECT_EQ(live.properties["ObjectLockConfiguration"]["Rule"]["DefaultRetention"], (Json{{"Mode", "GOVERNANCE"}, {"Days", 30}}));
  EXPECT_EQ(live.properties["ReplicationConfiguration"]["Rules"][0]["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"], "k");
  EXPECT_THAT(live.notes, ElementsAre(HasSubstr("MFA delete is on")));

  // What the template does not ask for is not asked of S3; a lock that is gone is one of no days.
  client_.calls.clear();
  answers_["GetBucketVersioning"] = {{"Status", "Enabled"}};
  EXPECT_THAT(read("AWS::S3::Bucket", Json::object()).notes, ElementsAre(HasSubstr("MFA delete is off")));
  EXPECT_EQ(client_.count("GetObjectLockConfiguration") + client_.count("GetBucketReplication"), 0);
  answers_.erase("GetObjectLockConfiguration");
  EXPECT_EQ(read("AWS::S3::Bucket", {{"ObjectLockConfiguration", Json::object()}}).properties["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]["Days"], 0);
}

TEST_F(LiveResourcesTest, a_secret_is_as_old_as_the_value_that_counts) {
  answers_["DescribeSecret"] = {{"Name", "redoubt-dev/huggingface/api-token"}, {"KmsKeyId", "k"}, {"LastChangedDate", 1.8e9}};
  answers_["ListSecretVersionIds"] = {{"Versions", {{{"CreatedDate", 1.6e9}, {"VersionStages", {"AWSPREVIOUS"}}}, {{"CreatedDate", 1.7e9}, {"VersionStages", {"AWSCURRENT"}}}}}};
  EXPECT_EQ(read("AWS::SecretsManager::Secret", Json::object()).value_made, TimePoint(std::chrono::seconds(1'700'000'000)));
  answers_["ListSecretVersionIds"] = {{"Versions", Json::array()}};  // nobody has put one yet
  EXPECT_EQ(read("AWS::SecretsManager::Secret", Json::object()).value_made, std::nullopt);
}

TEST_F(LiveResourcesTest, the_options_of_the_template_are_read_and_missed_when_they_are_gone) {
  const std::vector<std::pair<const char*, Json>> wanted = {
      {"AWS::Logs::MetricFilter", {{"LogGroupName", "/flow"}, {"FilterName", "f"}}}, {"AWS::StepFunctions::StateMachine", Json::object()}, {"AWS::Config::ConfigRule", {{"ConfigRuleName", "r"}}},
      {"AWS::SecurityHub::Hub", Json::object()}, {"AWS::AccessAnalyzer::Analyzer", {{"AnalyzerName", "a"}}}};
  answers_["DescribeMetricFilters"] = {{"metricFilters", {{{"filterName", "f-other"}, {"filterPattern", "x"}}}}};
  for (const auto& [type, properties] : wanted) EXPECT_FALSE(read(type, properties).is_there) << type;
  answers_["DescribeMetricFilters"] = {{"metricFilters", {{{"filterName", "f"}, {"filterPattern", "REJECT"}}}}};
  answers_["DescribeStateMachine"] = {{"status", "ACTIVE"}, {"roleArn", "r"}};
  answers_["DescribeConfigRules"] = {{"ConfigRules", {{{"Source", {{"Owner", "AWS"}, {"SourceIdentifier", "VPC_FLOW_LOGS_ENABLED"}}}}}}};
  answers_["DescribeHub"] = {{"HubArn", "h"}};
  answers_["GetAnalyzer"] = {{"analyzer", {{"type", "ACCOUNT"}, {"status", "ACTIVE"}}}};
  for (const auto& [type, properties] : wanted) EXPECT_TRUE(read(type, properties).is_there) << type;
  answers_["DescribeConfigurationRecorderStatus"] = {{"ConfigurationRecordersStatus", {{{"recording", false}}}}};
  EXPECT_EQ(read("AWS::Config::ConfigurationRecorder", Json::object()).properties["Enabled"], false);
}

}  // namespace
}  // namespace redoubt::provider::aws::stack
