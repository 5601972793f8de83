// SPDX-License-Identifier: Apache-2.0
//
// What every ModelRegistry promises (src/provider/model_registry.h).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "provider/aws/aws_kms.h"
#include "provider/aws/s3_object_store.h"
#include "provider/aws/sagemaker_registry.h"
#include "provider/local/sqlite_registry.h"
#include "provider/testing/fake_registry.h"
#include "tests/contract/aws_case.h"

namespace redoubt::provider {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct RegistryUnderTest {
  virtual ~RegistryUnderTest() = default;
  virtual ModelRegistry& registry() = 0;
};

struct FakeRegistryCase final : RegistryUnderTest {
  ModelRegistry& registry() override { return registry_; }
  testing::FakeModelRegistry registry_;
};

struct SqliteCase final : RegistryUnderTest {
  ModelRegistry& registry() override { return *registry_; }
  TemporaryFolder folder_ = *TemporaryFolder::create();
  std::unique_ptr<local::SqliteRegistry> registry_ = *local::SqliteRegistry::open({folder_.path() / "registry.db", Secret(Bytes(32, 1))});
};

struct AwsRegistryCase final : RegistryUnderTest {
  AwsRegistryCase() {
    auto& client = *aws::test_client();
    const std::string name = aws::unique_name(), key = "alias/" + name;
    CHECK(aws::AwsKms(client).create_key("aws-kms:" + key));
    CHECK(client.call("s3", "CreateBucket", {{"Bucket", name}, {"CreateBucketConfiguration", {{"LocationConstraint", client.region()}}}}));
    aws::S3ObjectStoreOptions objects;
    objects.bucket = name;
    objects.kms_key = key;
    objects_ = *aws::S3ObjectStore::create(objects, client);
    aws::SagemakerRegistryOptions options;
    options.workspace = name;
    options.objects_uri = "s3://" + name + "/";
    registry_ = *aws::SagemakerRegistry::create(options, client, *objects_);
  }
  ModelRegistry& registry() override { return *registry_; }
  std::unique_ptr<aws::S3ObjectStore> objects_;
  std::unique_ptr<aws::SagemakerRegistry> registry_;
};

struct RegistryCase {
  const char* name;
  std::unique_ptr<RegistryUnderTest> (*make)();
};

template <class T>
std::unique_ptr<RegistryUnderTest> make_registry() {
  return std::make_unique<T>();
}

ModelVersion version(std::string name, std::string number) {
  ModelVersion made;
  made.name = std::move(name);
  made.version = std::move(number);
  made.digest = "sha256:" + std::string(64, 'a');
  made.metrics = {{"eval_loss", 1.25}, {"note", "quotes ' \" and \xc3\xa9"}};
  made.created = "2026-01-02T03:04:05.000Z";
  made.created_by = "operator";
  made.statement = "sha256:" + std::string(64, 'b');
  made.reason = "first";
  return made;
}

class ModelRegistryContract : public ::testing::TestWithParam<RegistryCase> {
 protected:
  ModelRegistry& registry() { return under_test_->registry(); }
  std::vector<std::string> names() {
    std::vector<std::string> names;
    const auto versions = registry().list().value();
    for (const auto& each : versions) names.push_back(each.name + "/" + each.version);
    return names;
  }
  std::unique_ptr<RegistryUnderTest> under_test_ = GetParam().make();
};

TEST_P(ModelRegistryContract, an_empty_one_has_seen_nothing) {
  EXPECT_EQ(*registry().entries_applied(), 0u);
  EXPECT_THAT(*registry().list(), IsEmpty());
  EXPECT_EQ(registry().get("m", "1.0.0").error().code, ErrorCode::not_found);
}

TEST_P(ModelRegistryContract, gives_back_every_field) {
  const ModelVersion put = version("m", "1.0.0");
  ASSERT_TRUE(registry().apply({{4, {put}, {}}}));
  const ModelVersion got = *registry().get("m", "1.0.0");
  EXPECT_EQ(std::tie(got.name, got.version, got.digest, got.state, got.metrics, got.created, got.created_by, got.statement, got.reason),
            std::tie(put.name, put.version, put.digest, put.state, put.metrics, put.created, put.created_by, put.statement, put.reason));
  EXPECT_EQ(*registry().entries_applied(), 5u);
}

TEST_P(ModelRegistryContract, lists_by_name_then_in_the_order_of_creation) {
  ASSERT_TRUE(registry().apply({{0, {version("z", "0.10.0")}, {}}, {1, {version("a", "0.9.0")}, {}}, {2, {version("z", "0.2.0")}, {}}}));
  EXPECT_THAT(names(), ElementsAre("a/0.9.0", "z/0.10.0", "z/0.2.0"));
}

TEST_P(ModelRegistryContract, a_state_comes_with_its_reason_and_touches_one_version) {
  ASSERT_TRUE(registry().apply({{0, {version("m", "1.0.0"), version("m", "1.0.1")}, {}}}));
  ASSERT_TRUE(registry().apply({{1, {}, {{"m", "1.0.1", VersionState::rejected, "too slow"}}}}));
  EXPECT_EQ(registry().get("m", "1.0.0")->state, VersionState::pending_manual_approval);
  EXPECT_EQ(registry().get("m", "1.0.1")->state, VersionState::rejected);
  EXPECT_EQ(registry().get("m", "1.0.1")->reason, "too slow");
}

TEST_P(ModelRegistryContract, an_entry_that_was_applied_is_left_out) {
  const std::vector<RegistryChange> changes = {{0, {version("m", "1.0.0")}, {}}, {1, {}, {{"m", "1.0.0", VersionState::approved, "good"}}}};
  ASSERT_TRUE(registry().apply(changes));
  ASSERT_TRUE(registry().apply({{2, {}, {{"m", "1.0.0", VersionState::revoked, "bad"}}}}));
  ASSERT_TRUE(registry().apply(changes));
  EXPECT_EQ(registry().get("m", "1.0.0")->state, VersionState::revoked);
  EXPECT_EQ(*registry().entries_applied(), 3u);
}

TEST_P(ModelRegistryContract, entries_that_change_nothing_move_its_place_in_the_ledger) {
  ASSERT_TRUE(registry().apply({{0, {}, {}}, {7, {}, {}}}));
  EXPECT_EQ(*registry().entries_applied(), 8u);
  ASSERT_TRUE(registry().apply({}));
  EXPECT_EQ(*registry().entries_applied(), 8u);
}

TEST_P(ModelRegistryContract, applies_all_or_none) {
  const auto unknown = registry().apply({{0, {version("m", "1.0.0")}, {}}, {1, {}, {{"m", "2.0.0", VersionState::approved, ""}}}});
  EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
  EXPECT_THAT(*registry().list(), IsEmpty());
  ASSERT_TRUE(registry().apply({{0, {version("m", "1.0.0")}, {}}}));
  const auto twice = registry().apply({{1, {version("n", "1.0.0")}, {}}, {2, {version("m", "1.0.0")}, {}}});
  EXPECT_EQ(twice.error().code, ErrorCode::already_exists);
  EXPECT_THAT(names(), ElementsAre("m/1.0.0"));
  EXPECT_EQ(*registry().entries_applied(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Registries, ModelRegistryContract,
                         ::testing::ValuesIn(aws::with_aws<RegistryCase>({{"fake", make_registry<FakeRegistryCase>}, {"sqlite", make_registry<SqliteCase>}},
                                                                 {"aws", make_registry<AwsRegistryCase>})),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace redoubt::provider
