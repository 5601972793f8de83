// SPDX-License-Identifier: Apache-2.0
//
// What every SecretStore promises (src/provider/secret_store.h).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>
#include <thread>

#include "base/file.h"
#include "provider/aws/secrets_manager_store.h"
#include "provider/local/vault_secret_store.h"
#include "provider/testing/fake_kms.h"
#include "provider/testing/fake_stores.h"
#include "tests/contract/aws_case.h"

namespace redoubt::provider {
namespace {

using ::testing::IsEmpty;

struct SecretsUnderTest {
  virtual ~SecretsUnderTest() = default;
  virtual SecretStore& store() = 0;
  // Whether `changed` is by our clock, or near the one of the wall.
  virtual bool keeps_our_time() const { return true; }
  FakeClock clock_;
};

struct FakeSecretCase final : SecretsUnderTest {
  SecretStore& store() override { return store_; }
  testing::FakeSecretStore store_{clock_};
};

struct LocalSecretCase final : SecretsUnderTest {
  LocalSecretCase() {
    EXPECT_TRUE(kms_.create_key("fake:default"));
    store_ = *local::VaultSecretStore::open({folder_.path() / "secrets", "w", {&kms_, "fake:default"}}, clock_);
  }
  SecretStore& store() override { return *store_; }
  testing::FakeKms kms_;
  TemporaryFolder folder_ = *TemporaryFolder::create();
  std::unique_ptr<local::VaultSecretStore> store_;
};

struct AwsSecretCase final : SecretsUnderTest {
  AwsSecretCase() {
    aws::SecretsManagerStoreOptions options;
    options.prefix = aws::unique_name() + "/";
    store_ = *aws::SecretsManagerStore::create(options, *aws::test_client());
  }
  SecretStore& store() override { return *store_; }
  bool keeps_our_time() const override { return false; }
  std::unique_ptr<aws::SecretsManagerStore> store_;
};

struct SecretCase {
  const char* name;
  std::unique_ptr<SecretsUnderTest> (*make)();
};

template <class T>
std::unique_ptr<SecretsUnderTest> make_secrets() {
  return std::make_unique<T>();
}

class SecretStoreContract : public ::testing::TestWithParam<SecretCase> {
 protected:
  SecretStore& store() { return under_test_->store(); }
  std::string text(const Result<Secret>& secret) { return to_text(secret.value().reveal(SecretAccess::for_user())); }
  std::unique_ptr<SecretsUnderTest> under_test_ = GetParam().make();
};

TEST_P(SecretStoreContract, gives_back_the_newest_version_and_the_one_before) {
  EXPECT_EQ(store().put("huggingface/api-token", Secret("one"))->version, 1);
  EXPECT_EQ(text(store().get("huggingface/api-token")), "one");
  EXPECT_EQ(store().get_previous("huggingface/api-token").error().code, ErrorCode::not_found);
  EXPECT_EQ(store().put("huggingface/api-token", Secret("two"))->version, 2);
  EXPECT_EQ(store().put("huggingface/api-token", Secret("three"))->version, 3);
  EXPECT_EQ(text(store().get("huggingface/api-token")), "three");
  EXPECT_EQ(text(store().get_previous("huggingface/api-token")), "two");
}

TEST_P(SecretStoreContract, keeps_every_byte_of_a_value) {
  Bytes bytes(kSecretBytesMax);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  ASSERT_TRUE(store().put("binary", Secret(bytes)));
  ASSERT_TRUE(store().put("binary", Secret(bytes)));
  EXPECT_TRUE(*store().get("binary") == Secret(bytes));
  EXPECT_TRUE(*store().get_previous("binary") == Secret(bytes));
}

TEST_P(SecretStoreContract, refuses_empty_and_long_values_and_bad_names) {
  EXPECT_EQ(store().put("a", Secret("")).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(store().put("a", Secret(Bytes(kSecretBytesMax + 1))).error().code, ErrorCode::limit_exceeded);
  for (const auto& name : std::vector<std::string>{"", "/a", "a/", "../a", "a b", "a\n", std::string(257, 'a')}) {
    EXPECT_EQ(store().put(name, Secret("x")).error().code, ErrorCode::invalid_argument) << name;
  }
  EXPECT_THAT(*store().list(), IsEmpty());
}

TEST_P(SecretStoreContract, lists_names_versions_and_times_sorted) {
  ASSERT_TRUE(store().put("b", Secret("1")));
  under_test_->clock_.advance(std::chrono::hours(1));
  ASSERT_TRUE(store().put("a/z", Secret("1")));
  ASSERT_TRUE(store().put("a/z", Secret("2")));
  const auto infos = *store().list();
  ASSERT_EQ(infos.size(), 2U);
  EXPECT_EQ(infos[0].name, "a/z");
  EXPECT_EQ(infos[0].version, 2);
  EXPECT_EQ(infos[1].name, "b");
  EXPECT_EQ(infos[1].version, 1);
  if (under_test_->keeps_our_time()) {
    EXPECT_EQ(infos[0].changed, under_test_->clock_.now());
    EXPECT_EQ(infos[1].changed, under_test_->clock_.now() - std::chrono::hours(1));
  } else {
    EXPECT_LT(std::chrono::abs(infos[0].changed - SystemClock().now()), std::chrono::hours(1));
    EXPECT_LE(infos[1].changed, infos[0].changed);
  }
}

TEST_P(SecretStoreContract, what_is_absent_or_removed_is_not_found) {
  EXPECT_EQ(store().get("a").error().code, ErrorCode::not_found);
  EXPECT_EQ(store().remove("a").error().code, ErrorCode::not_found);
  ASSERT_TRUE(store().put("a", Secret("x")));
  EXPECT_EQ(store().remove("a", Removal::at_once).value(), std::nullopt);
  EXPECT_EQ(store().get("a").error().code, ErrorCode::not_found);
  EXPECT_EQ(store().get_previous("a").error().code, ErrorCode::not_found);
  EXPECT_EQ(store().put("a", Secret("y"))->version, 1);
}

TEST_P(SecretStoreContract, a_removed_name_goes_on_where_it_ended_while_it_can_be_taken_back_and_else_begins_anew) {
  ASSERT_TRUE(store().put("a", Secret("x")));
  const auto until = store().remove("a").value();
  EXPECT_EQ(store().get("a").error().code, ErrorCode::not_found);
  EXPECT_EQ(store().remove("a").error().code, ErrorCode::not_found);
  EXPECT_THAT(*store().list(), IsEmpty());
  EXPECT_EQ(store().put("a", Secret("y"))->version, until ? 2 : 1);
  EXPECT_EQ(text(store().get("a")), "y");
  if (until) {
    EXPECT_EQ(text(store().get_previous("a")), "x");
    EXPECT_GT(*until, SystemClock().now() + std::chrono::hours(24 * 29));
  } else {
    EXPECT_EQ(store().get_previous("a").error().code, ErrorCode::not_found);
  }
}

TEST_P(SecretStoreContract, of_many_puts_at_once_each_takes_a_number_of_its_own) {
  constexpr int kPuts = 8;
  std::map<int, std::string> values;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int i = 0; i < kPuts; ++i) {
    threads.emplace_back([&, value = "value " + std::to_string(i)] {
      const auto info = store().put("a", Secret(value));
      const std::lock_guard lock(mutex);
      EXPECT_TRUE(info) << info.error().message;
      if (info) {
        EXPECT_TRUE(values.emplace(info->version, value).second) << info->version << " was taken twice";
      }
    });
  }
  for (auto& thread : threads) thread.join();
  ASSERT_EQ(values.size(), static_cast<std::size_t>(kPuts));
  EXPECT_EQ(values.begin()->first, 1);
  EXPECT_EQ(values.rbegin()->first, kPuts);
  EXPECT_EQ(text(store().get("a")), values[kPuts]);
  EXPECT_EQ(text(store().get_previous("a")), values[kPuts - 1]);
}

TEST_P(SecretStoreContract, a_store_that_cannot_make_the_next_value_says_so_and_keeps_the_last) {
  EXPECT_EQ(store().rotate("a").value(), std::nullopt);
  ASSERT_TRUE(store().put("a", Secret("x")));
  EXPECT_EQ(store().rotate("a").value(), std::nullopt);
  EXPECT_EQ(text(store().get("a")), "x");
}

INSTANTIATE_TEST_SUITE_P(Providers, SecretStoreContract,
                         ::testing::ValuesIn(aws::with_aws<SecretCase>({{"fake", make_secrets<FakeSecretCase>}, {"local", make_secrets<LocalSecretCase>}},
                                                                 {"aws", make_secrets<AwsSecretCase>})),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace redoubt::provider
