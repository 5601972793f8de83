// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/secrets_manager_store.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "provider/aws/testing_client.h"

namespace redoubt::provider::aws {
namespace {

using ::testing::HasSubstr;

constexpr const char* kFunction = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";
constexpr double kMade = 1.7e9;

std::string own_id(int number) { return fmt::format("redoubt-{:08}-of-this-secret-by-number", number); }

class SecretsManagerStoreTest : public ::testing::Test {
 protected:
  SecretsManagerStoreTest() {
    client_.answer = [this](const std::string&, const std::string& operation, const Json& input) -> Result<Json> {
      if (refusals_.contains(operation)) return TestingClient::refuse(refusals_[operation].first, refusals_[operation].second);
      if (operation == "ListSecretVersionIds") return Json{{"Versions", versions_}};
      if (operation == "RotateSecret") {
        secret_["VersionIdsToStages"] = {{own_id(1), {"AWSCURRENT"}}, {input["ClientRequestToken"].get<std::string>(), {"AWSPENDING"}}};
        return Json::object();
      }
      if (operation == "DescribeSecret") {
        // At the third look the function is done.
        if (ends_ && client_.count("RotateSecret") > 0 && ++looks_ == 3) secret_["VersionIdsToStages"][client_.last("RotateSecret")["ClientRequestToken"].get<std::string>()] = {"AWSCURRENT"};
        return secret_;
      }
      return Json::object();
    };
  }
  std::unique_ptr<SecretsManagerStore> store() { return SecretsManagerStore::create({}, client_).value(); }
  void add_version(const std::string& id, double made, Json stages = Json::array()) { versions_.push_back({{"VersionId", id}, {"CreatedDate", made}, {"VersionStages", stages}}); }

  TestingClient client_;
  Json secret_ = {{"Name", "redoubt/hub"}, {"LastChangedDate", kMade}};
  Json versions_ = Json::array();
  std::map<std::string, std::pair<std::string, ErrorCode>> refusals_;
  bool ends_ = true;
  int looks_ = 0;
};

TEST_F(SecretsManagerStoreTest, a_rotation_function_makes_the_next_version_and_is_waited_for) {
  secret_.update({{"RotationEnabled", true}, {"RotationLambdaARN", kFunction}});
  add_version(own_id(1), kMade, {"AWSCURRENT"});
  const auto info = store()->rotate("hub");
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ((*info)->version, 2);
  EXPECT_EQ(client_.last("RotateSecret")["ClientRequestToken"], own_id(2));
  EXPECT_EQ(client_.count("PutSecretValue"), 0);
  EXPECT_EQ(looks_, 3);
}

TEST_F(SecretsManagerStoreTest, a_rotation_that_never_ends_names_its_function_and_what_counts_meanwhile) {
  secret_.update({{"RotationEnabled", true}, {"RotationLambdaARN", kFunction}});
  add_version(own_id(1), kMade, {"AWSCURRENT"});
  ends_ = false;
  const auto info = store()->rotate("hub");
  ASSERT_FALSE(info);
  EXPECT_EQ(info.error().code, ErrorCode::unavailable);
  EXPECT_EQ(info.error().where, "redoubt/hub");
  EXPECT_THAT(info.error().hint, HasSubstr(kFunction));
  EXPECT_THAT(info.error().hint, HasSubstr("still counts"));
  refusals_["RotateSecret"] = {"InvalidRequestException", ErrorCode::invalid_argument};
  EXPECT_THAT(store()->rotate("hub").error().hint, HasSubstr("earlier rotation"));
}

TEST_F(SecretsManagerStoreTest, a_rotation_that_is_off_is_none) {
  EXPECT_EQ(store()->rotate("hub").value(), std::nullopt);
  secret_.update({{"RotationEnabled", false}, {"RotationLambdaARN", kFunction}});
  EXPECT_EQ(store()->rotate("hub").value(), std::nullopt);
  secret_.update({{"RotationEnabled", true}, {"DeletedDate", kMade}});
  EXPECT_EQ(store()->rotate("hub").value(), std::nullopt);
  EXPECT_EQ(client_.count("RotateSecret"), 0);
}

TEST_F(SecretsManagerStoreTest, versions_made_elsewhere_count_from_the_newest_of_ours_in_their_order) {
  add_version("5f0c", kMade - 50);  // older than ours
  add_version(own_id(3), kMade);
  add_version("6f0c", kMade + 50);  // deprecated: it has no stage
  add_version("7f0c", kMade + 100, {"AWSCURRENT"});
  add_version("8f0c", kMade + 150, {"AWSPENDING"});
  client_.answer = [this, answer = client_.answer](const auto& service, const auto& operation, const auto& input) -> Result<Json> {
    if (operation == "ListSecrets") return Json{{"SecretList", {{{"Name", "redoubt/hub"}}}}};
    return answer(service, operation, input);
  };
  const auto infos = store()->list();
  ASSERT_TRUE(infos);
  ASSERT_EQ(infos->size(), 1U);
  EXPECT_EQ((*infos)[0], (SecretInfo{"hub", 5, TimePoint(std::chrono::seconds(1'700'000'100))}));
  EXPECT_EQ(store()->put("hub", Secret("x"))->version, 7);
}

TEST_F(SecretsManagerStoreTest, a_number_that_another_put_took_is_given_up_for_the_next) {
  add_version(own_id(3), kMade, {"AWSCURRENT"});
  client_.answer = [this, answer = client_.answer](const auto& service, const auto& operation, const auto& input) -> Result<Json> {
    if (operation == "PutSecretValue" && input["ClientRequestToken"] != own_id(6)) return TestingClient::refuse("ResourceExistsException", ErrorCode::already_exists);
    return answer(service, operation, input);
  };
  EXPECT_EQ(store()->put("hub", Secret("x"))->version, 6);
  EXPECT_EQ(client_.count("PutSecretValue"), 3);
}

TEST_F(SecretsManagerStoreTest, what_is_put_again_and_again_by_others_ends_in_an_error) {
  refusals_["PutSecretValue"] = {"ResourceExistsException", ErrorCode::already_exists};
  EXPECT_EQ(store()->put("hub", Secret("x")).error().code, ErrorCode::unavailable);
}

TEST_F(SecretsManagerStoreTest, a_removal_has_a_window_and_force_is_used_when_it_is_said) {
  client_.answer = [this, answer = client_.answer](const auto& service, const auto& operation, const auto& input) -> Result<Json> {
    if (operation == "DeleteSecret") return Json{{"DeletionDate", kMade}};
    return answer(service, operation, input);
  };
  EXPECT_EQ(store()->remove("hub", Removal::recoverable).value(), TimePoint(std::chrono::seconds(1'700'000'000)));
  EXPECT_EQ(client_.last("DeleteSecret"), (Json{{"SecretId", "redoubt/hub"}, {"RecoveryWindowInDays", 30}}));
  EXPECT_EQ(store()->remove("hub", Removal::at_once).value(), std::nullopt);
  EXPECT_EQ(client_.last("DeleteSecret"), (Json{{"SecretId", "redoubt/hub"}, {"ForceDeleteWithoutRecovery", true}}));
  for (const int days : {6, 31}) EXPECT_EQ(SecretsManagerStore::create({"redoubt/", "", days}, client_).error().where, "recovery_days");
}

}  // namespace
}  // namespace redoubt::provider::aws
