// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sagemaker_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "provider/aws/package_metadata.h"
#include "provider/aws/sagemaker_records.h"
#include "provider/aws/testing_client.h"
#include "provider/testing/fake_stores.h"

namespace redoubt::provider::aws {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// SageMaker's model packages, cards and lineage as far as they are asked for.
struct Account {
  std::map<std::string, Json> groups, packages, cards, artifacts, actions;
  std::vector<Json> associations;

  Result<Json> answer(const std::string& operation, const Json& input) {
    if (operation == "CreateModelPackageGroup") return groups[input["ModelPackageGroupName"]] = input, Json::object();
    if (operation == "ListModelPackageGroups") return Json{{"ModelPackageGroupSummaryList", values(groups)}};
    if (operation == "CreateModelPackage") return create(input);
    if (operation == "UpdateModelPackage") return update(input);
    if (operation == "DescribeModelPackage") return packages.at(input["ModelPackageName"]);
    if (operation == "ListModelPackages") return list(input["ModelPackageGroupName"]);
    if (operation == "DescribeModelCard") return find(cards, input["ModelCardName"]);
    if (operation == "CreateModelCard" || operation == "UpdateModelCard") return keep(cards, input["ModelCardName"], input, "ModelCardArn");
    if (operation == "DescribeAction") return find(actions, input["ActionName"]);
    if (operation == "CreateAction") return keep(actions, input["ActionName"], input, "ActionArn");
    if (operation == "CreateArtifact") return keep(artifacts, input["ArtifactName"], input, "ArtifactArn");
    if (operation == "ListArtifacts") return artifacts_of(input);
    if (operation == "AddAssociation") return associations.push_back(input), Json::object();
    if (operation == "ListAssociations") return associations_of(input);
    return TestingClient::refuse("UnknownOperation", ErrorCode::internal);
  }
  static Json values(const std::map<std::string, Json>& from) {
    Json all = Json::array();
    for (const auto& [name, value] : from) all.push_back(value);
    return all;
  }
  static Result<Json> find(const std::map<std::string, Json>& from, const std::string& name) {
    const auto found = from.find(name);
    if (found == from.end()) return TestingClient::refuse("ResourceNotFound", ErrorCode::not_found);
    return found->second;
  }
  static Json keep(std::map<std::string, Json>& into, const std::string& name, const Json& input, const char* arn) {
    into[name].update(input);
    into[name][arn] = "arn:" + name;
    return {{arn, "arn:" + name}};
  }
  Json create(const Json& input) {
    const std::string group = input["ModelPackageGroupName"];
    const std::size_t number = list(group)["ModelPackageSummaryList"].size() + 1;
    const std::string arn = "arn:aws:sagemaker:eu-central-1:123456789012:model-package/" + group + "/" + std::to_string(number);
    Json& package = packages[arn] = input;
    package.update({{"ModelPackageArn", arn}, {"ModelPackageVersion", number}});
    return {{"ModelPackageArn", arn}};
  }
  Json update(const Json& input) {
    Json& package = packages.at(input["ModelPackageArn"]);
    for (const auto& key : input.value("CustomerMetadataPropertiesToRemove", Json::array())) package["CustomerMetadataProperties"].erase(key.get<std::string>());
    Json merged = package["CustomerMetadataProperties"];
    merged.update(input["CustomerMetadataProperties"]);
    package.update(input);
    package["CustomerMetadataProperties"] = merged;
    return Json::object();
  }
  Json list(const std::string& group) {
    Json found = Json::array();
    for (const auto& [arn, package] : packages) {
      if (package["ModelPackageGroupName"] == group) found.push_back({{"ModelPackageArn", arn}});
    }
    return {{"ModelPackageSummaryList", found}};
  }
  Json artifacts_of(const Json& input) {
    Json found = Json::array();
    for (const auto& [name, artifact] : artifacts) {
      if (artifact["Source"]["SourceUri"] == input["SourceUri"] && artifact["ArtifactType"] == input["ArtifactType"]) found.push_back(artifact);
    }
    return {{"ArtifactSummaries", found}};
  }
  Json associations_of(const Json& input) {
    Json found = Json::array();
    for (const Json& one : associations) {
      if (one["SourceArn"] == input["SourceArn"] && one["DestinationArn"] == input["DestinationArn"]) found.push_back(one);
    }
    return {{"AssociationSummaries", found}};
  }
};

class SagemakerRegistryTest : public ::testing::Test {
 protected:
  SagemakerRegistryTest() {
    client_.answer = [this](const auto&, const auto& operation, const auto& input) -> Result<Json> {
      if (operation == fails_) return fail(ErrorCode::unavailable, "HTTP 503: away");
      return account_.answer(operation, input);
    };
  }
  static ModelVersion version(std::string name, std::string number) {
    ModelVersion made;
    made.name = std::move(name);
    made.version = std::move(number);
    made.digest = "sha256:" + std::string(64, 'a');
    made.metrics = {{"eval_loss", 1.25}};
    made.created = "2026-01-02T03:04:05.000Z";
    made.created_by = "operator";
    made.statement = "sha256:" + std::string(64, 'b');
    made.reason = "first";
    return made;
  }
  Json& only_package() { return account_.packages.begin()->second; }

  Account account_;
  TestingClient client_;
  testing::FakeObjectStore objects_;
  std::string fails_;
  std::unique_ptr<SagemakerRegistry> registry_ =
      *SagemakerRegistry::create({.workspace = "w1", .objects_uri = "s3://bucket/p/", .image = "r/i@sha256:0", .model_data_uri = "s3://bucket/p/models/"}, client_, objects_);
};

TEST_F(SagemakerRegistryTest, a_package_says_what_it_is_where_its_metrics_lie_and_what_it_is_deployed_from) {
  ASSERT_TRUE(registry_->apply({{4, {version("m", "1.0.0")}, {}}}));
  const Json& package = only_package();
  EXPECT_EQ(package["ModelApprovalStatus"], "PendingManualApproval");
  EXPECT_EQ(package["CustomerMetadataProperties"]["redoubt-digest"], "sha256:" + std::string(64, 'a'));
  EXPECT_EQ(package["CustomerMetadataProperties"]["redoubt-ledger-index"], "4");
  EXPECT_EQ(package["InferenceSpecification"]["Containers"][0]["ModelDataSource"]["S3DataSource"]["S3Uri"], "s3://bucket/p/models/" + std::string(64, 'a') + "/");
  const std::string uri = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"];
  EXPECT_EQ(to_text(objects_.bytes_of(uri.substr(std::string("s3://bucket/p/").size()))), R"({"eval_loss":1.25})");
}

TEST_F(SagemakerRegistryTest, every_state_has_a_status_and_comes_back_as_itself) {
  const std::pair<VersionState, const char*> cases[] = {{VersionState::approved, "Approved"}, {VersionState::deployed, "Approved"},
                                                        {VersionState::revoked, "Rejected"}, {VersionState::rejected, "Rejected"}};
  ASSERT_TRUE(registry_->apply({{0, {version("m", "1.0.0")}, {}}}));
  std::uint64_t index = 1;
  for (const auto& [state, status] : cases) {
    ASSERT_TRUE(registry_->apply({{index++, {}, {{"m", "1.0.0", state, "because\nof this"}}}}));
    EXPECT_EQ(only_package()["ModelApprovalStatus"], status);
    EXPECT_EQ(only_package()["ApprovalDescription"], "because of this");
    EXPECT_EQ(registry_->get("m", "1.0.0")->state, state);
    EXPECT_EQ(registry_->get("m", "1.0.0")->reason, "because\nof this");
  }
  EXPECT_THAT(*registry_->outside_decisions(), IsEmpty());
}

TEST_F(SagemakerRegistryTest, any_text_comes_back_as_it_was) {
  ModelVersion odd = version("M\xc3\xb6""del \"1\"/x", "1.0.0");
  odd.reason = std::string(1500, '{') + "\n\xe2\x82\xac";
  odd.created_by = "";
  ASSERT_TRUE(registry_->apply({{0, {odd}, {}}}));
  const auto back = registry_->get(odd.name, "1.0.0");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->reason, odd.reason);
  EXPECT_EQ(back->created_by, "");
  ASSERT_TRUE(registry_->apply({{1, {}, {{odd.name, "1.0.0", VersionState::approved, "short"}}}}));
  EXPECT_EQ(registry_->get(odd.name, "1.0.0")->reason, "short");
}

TEST_F(SagemakerRegistryTest, what_was_cut_short_is_told_again_without_a_second_package) {
  for (const char* operation : {"CreateModelPackageGroup", "CreateModelPackage", "UpdateModelPackage"}) {
    account_ = {};
    (void)registry_->rewind();
    const std::vector<RegistryChange> changes = {{0, {version("m", "1.0.0")}, {}}, {1, {version("n", "1.0.0")}, {{"m", "1.0.0", VersionState::approved, "good"}}}};
    if (std::string(operation) == "UpdateModelPackage") {
      ASSERT_TRUE(registry_->apply({changes[0]}));
    }
    fails_ = operation;
    EXPECT_FALSE(registry_->apply(changes)) << operation;
    fails_.clear();
    ASSERT_TRUE(registry_->apply(changes));
    EXPECT_EQ(account_.packages.size(), 2u);
    EXPECT_EQ(registry_->get("m", "1.0.0")->state, VersionState::approved);
    EXPECT_EQ(*registry_->entries_applied(), 2u);
  }
}

TEST_F(SagemakerRegistryTest, a_lost_place_in_the_ledger_makes_no_second_package) {
  const std::vector<RegistryChange> changes = {{0, {version("m", "1.0.0")}, {}}, {1, {}, {{"m", "1.0.0", VersionState::approved, "good"}}}};
  ASSERT_TRUE(registry_->apply(changes));
  only_package()["CustomerMetadataProperties"]["redoubt-state"] = "Deployed";  // somebody's hand
  ASSERT_TRUE(registry_->rewind());
  EXPECT_EQ(*registry_->entries_applied(), 0u);
  ASSERT_TRUE(registry_->apply(changes));
  EXPECT_EQ(account_.packages.size(), 1u);
  EXPECT_EQ(registry_->get("m", "1.0.0")->state, VersionState::approved);
}

TEST_F(SagemakerRegistryTest, a_decision_of_the_console_is_found_with_its_principal_and_not_believed) {
  ASSERT_TRUE(registry_->apply({{0, {version("m", "1.0.0")}, {}}}));
  Json& package = only_package();
  package["ModelApprovalStatus"] = "Approved";
  package["ApprovalDescription"] = "looks fine";
  package["LastModifiedTime"] = 1767323045.0;
  package["LastModifiedBy"] = {{"IamIdentity", {{"Arn", "arn:aws:sts::123456789012:assumed-role/reviewer/ada"}}}};
  const auto decisions = *registry_->outside_decisions();
  ASSERT_EQ(decisions.size(), 1u);
  EXPECT_EQ(decisions[0].outside_state, VersionState::approved);
  EXPECT_EQ(decisions[0].ledger_state, VersionState::pending_manual_approval);
  EXPECT_EQ(decisions[0].principal, "arn:aws:sts::123456789012:assumed-role/reviewer/ada");
  EXPECT_EQ(decisions[0].changed, "2026-01-02T03:04:05.000Z");
  EXPECT_EQ(decisions[0].reason, "looks fine");
  EXPECT_EQ(registry_->get("m", "1.0.0")->state, VersionState::pending_manual_approval);
  ASSERT_TRUE(registry_->restore("m", "1.0.0"));
  EXPECT_EQ(only_package()["ModelApprovalStatus"], "PendingManualApproval");
  EXPECT_THAT(*registry_->outside_decisions(), IsEmpty());
}

TEST_F(SagemakerRegistryTest, packages_of_others_are_left_alone_and_changed_ones_are_tampered) {
  ASSERT_TRUE(registry_->apply({{0, {version("m", "1.0.0")}, {}}}));
  Json stranger = only_package();
  stranger["CustomerMetadataProperties"] = {{"owner", "somebody"}};
  stranger.erase("ModelMetrics");
  account_.packages["arn:stranger"] = stranger;
  EXPECT_EQ(registry_->list()->size(), 1u);
  for (auto& [arn, package] : account_.packages) {
    if (arn != "arn:stranger") package["CustomerMetadataProperties"]["redoubt-state"] = "Perfect";
  }
  EXPECT_EQ(registry_->list().error().code, ErrorCode::tampered);
}

TEST_F(SagemakerRegistryTest, metadata_that_somebody_wiped_is_known_and_put_back) {
  ASSERT_TRUE(registry_->apply({{0, {version("m", "1.0.0")}, {}}}));
  only_package().erase("CustomerMetadataProperties");
  only_package()["ModelApprovalStatus"] = "Approved";
  ASSERT_EQ(registry_->outside_decisions()->size(), 1u);
  EXPECT_EQ(registry_->get("m", "1.0.0")->state, VersionState::pending_manual_approval);
  ASSERT_TRUE(registry_->restore("m", "1.0.0"));
  EXPECT_EQ(only_package()["CustomerMetadataProperties"]["redoubt-state"], "PendingManualApproval");
}

TEST_F(SagemakerRegistryTest, changed_metrics_are_tampered) {
  ASSERT_TRUE(registry_->apply({{0, {version("m", "1.0.0")}, {}}}));
  const std::vector<std::string> keys = *objects_.list("registry/w1/redoubt-");
  for (const auto& key : keys) objects_.bytes_of(key) = to_bytes(R"({"eval_loss":0.01})");
  EXPECT_EQ(registry_->list().error().code, ErrorCode::tampered);
}

TEST_F(SagemakerRegistryTest, a_card_is_made_once_and_follows_the_state) {
  Json card = {{"name", "m"}, {"version", "1.0.0"}, {"description", "a model"}, {"metrics", {{"eval_loss", 1.25}}}, {"state", "PendingManualApproval"}, {"training", {{"epochs", 2}}}};
  ASSERT_TRUE(publish_model_card(client_, card, {.workspace = "w1", .kms_key = "alias/k"}));
  ASSERT_TRUE(publish_model_card(client_, card, {.workspace = "w1", .kms_key = "alias/k"}));
  EXPECT_EQ(client_.count("CreateModelCard"), 1);
  EXPECT_EQ(client_.count("UpdateModelCard"), 0);
  card["state"] = "Approved";
  ASSERT_TRUE(publish_model_card(client_, card, {.workspace = "w1"}));
  EXPECT_EQ(client_.count("UpdateModelCard"), 1);
  EXPECT_EQ(account_.cards.begin()->second["ModelCardStatus"], "Approved");
  const Json content = *parse_json(account_.cards.begin()->second["Content"].get<std::string>(), "card");
  EXPECT_EQ(content["model_overview"]["model_name"], "m");
  EXPECT_EQ(content["evaluation_details"][0]["metric_groups"][0]["metric_data"][0], Json({{"name", "eval_loss"}, {"type", "number"}, {"value", 1.25}}));
}

TEST_F(SagemakerRegistryTest, lineage_leads_from_every_input_to_the_release_and_stands_once) {
  const Lineage lineage{"w1", "m", "1.0.0", "sha256:r", "sha256:s", {{"model", "sha256:1"}, {"data", "sha256:2"}}};
  ASSERT_TRUE(record_lineage(client_, lineage));
  ASSERT_TRUE(record_lineage(client_, lineage));
  EXPECT_EQ(account_.artifacts.size(), 3u);
  EXPECT_EQ(account_.actions.size(), 1u);
  EXPECT_EQ(account_.associations.size(), 3u);
  EXPECT_EQ(account_.associations.back()["AssociationType"], "Produced");
}

TEST(PackageMetadata, text_is_cut_between_characters) {
  EXPECT_EQ(cut_text("a\xe2\x82\xac", 3), "a");
  EXPECT_EQ(cut_text("a\xe2\x82\xac", 4), "a\xe2\x82\xac");
}

}  // namespace
}  // namespace redoubt::provider::aws
