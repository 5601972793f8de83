// SPDX-License-Identifier: Apache-2.0
//
// What every Kms promises (src/provider/kms.h).
#include <gtest/gtest.h>

#include <thread>

#include "base/file.h"
#include "crypto/random.h"
#include "provider/aws/aws_kms.h"
#include "provider/kms_router.h"
#include "provider/local/local_kms.h"
#include "provider/testing/fake_kms.h"
#include "tests/contract/aws_case.h"

namespace redoubt::provider {
namespace {

struct KmsUnderTest {
  virtual ~KmsUnderTest() = default;
  virtual Kms& kms() = 0;
};

struct FakeKmsCase final : KmsUnderTest {
  Kms& kms() override { return kms_; }
  testing::FakeKms kms_;
};

struct LocalKmsCase final : KmsUnderTest {
  LocalKmsCase() {
    kms_ = *local::LocalKms::create(folder_.path() / "keyring.json", local::Passphrase{Secret("pass"), {1024, 8, 1}});
  }
  Kms& kms() override { return *kms_; }
  TemporaryFolder folder_ = *TemporaryFolder::create();
  std::unique_ptr<local::LocalKms> kms_;
};

struct RoutedCase final : KmsUnderTest {
  Kms& kms() override { return kms_; }
  testing::FakeKms fake_, nobodys_;
  KmsRouter kms_{{{"fake", &fake_}, {"other", &nobodys_}}};
};

struct AwsKmsCase final : KmsUnderTest {
  Kms& kms() override { return kms_; }
  aws::AwsKms kms_{*aws::test_client()};
};

struct KmsCase {
  const char* name;
  std::string key, other_key;
  std::unique_ptr<KmsUnderTest> (*make)();
};

template <class T>
std::unique_ptr<KmsUnderTest> make_kms() {
  return std::make_unique<T>();
}

class KmsContract : public ::testing::TestWithParam<KmsCase> {
 protected:
  void SetUp() override {
    const auto made = kms().create_key(key());
    ASSERT_TRUE(made) << made.error().message;
  }
  Kms& kms() { return under_test_->kms(); }
  // A prefix of AWS's keys is completed, since an account keeps its keys from one test to the next.
  std::string key() { return GetParam().key.ends_with('/') ? GetParam().key + unique_ : GetParam().key; }
  std::string other_key() { return GetParam().other_key.ends_with('/') ? GetParam().other_key + unique_ + "-other" : GetParam().other_key; }
  Bytes wrap() { return *kms().wrap(key(), data_key_, context_); }

  const std::string unique_ = aws::unique_name();
  std::unique_ptr<KmsUnderTest> under_test_ = GetParam().make();
  Secret data_key_ = crypto::random_secret(32);
  EncryptionContext context_{{"workspace", "w"}, {"kind", "blob"}, {"name", "n"}};
};

TEST_P(KmsContract, unwraps_what_it_wrapped) { EXPECT_TRUE(*kms().unwrap(key(), wrap(), context_) == data_key_); }

TEST_P(KmsContract, takes_data_keys_of_1_to_4096_bytes) {
  const auto longest = crypto::random_secret(4096);
  EXPECT_TRUE(*kms().unwrap(key(), *kms().wrap(key(), longest, context_), context_) == longest);
  EXPECT_EQ(kms().wrap(key(), crypto::random_secret(4097), context_).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(kms().wrap(key(), Secret(), context_).error().code, ErrorCode::invalid_argument);
}

TEST_P(KmsContract, unwrap_fails_when_context_differs) {
  const auto wrapped = wrap();
  for (const auto& other : {EncryptionContext{{"workspace", "w"}, {"kind", "blob"}, {"name", "m"}},
                            EncryptionContext{{"workspace", "w"}, {"kind", "blob"}},
                            EncryptionContext{{"workspace", "w"}, {"kind", "blobn"}, {"name", ""}}}) {
    EXPECT_EQ(kms().unwrap(key(), wrapped, other).error().code, ErrorCode::tampered);
  }
}

TEST_P(KmsContract, every_flipped_byte_of_a_wrapping_is_tampered) {
  auto wrapped = wrap();
  for (auto& byte : wrapped) {
    byte ^= 0x40;
    EXPECT_EQ(kms().unwrap(key(), wrapped, context_).error().code, ErrorCode::tampered);
    byte ^= 0x40;
  }
}

TEST_P(KmsContract, every_truncated_wrapping_is_tampered) {
  const auto wrapped = wrap();
  for (std::size_t size = 0; size < wrapped.size(); ++size) {
    EXPECT_EQ(kms().unwrap(key(), ByteView(wrapped).first(size), context_).error().code, ErrorCode::tampered);
  }
}

TEST_P(KmsContract, another_key_does_not_unwrap) {
  ASSERT_TRUE(kms().create_key(other_key()));
  EXPECT_EQ(kms().unwrap(other_key(), wrap(), context_).error().code, ErrorCode::tampered);
}

TEST_P(KmsContract, two_wrappings_of_one_key_differ) { EXPECT_NE(wrap(), wrap()); }

TEST_P(KmsContract, an_empty_context_is_refused) {
  EXPECT_EQ(kms().wrap(key(), data_key_, {}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(kms().unwrap(key(), wrap(), {}).error().code, ErrorCode::invalid_argument);
}

TEST_P(KmsContract, an_unknown_key_is_not_found) {
  EXPECT_EQ(kms().wrap(other_key(), data_key_, context_).error().code, ErrorCode::not_found);
  EXPECT_EQ(kms().unwrap(other_key(), wrap(), context_).error().code, ErrorCode::not_found);
  EXPECT_EQ(kms().rotate_key(other_key()).error().code, ErrorCode::not_found);
  EXPECT_EQ(kms().destroy_key(other_key()).error().code, ErrorCode::not_found);
}

TEST_P(KmsContract, a_taken_name_is_refused_and_a_foreign_uri_too) {
  EXPECT_EQ(kms().create_key(key()).error().code, ErrorCode::already_exists);
  EXPECT_EQ(kms().create_key("elsewhere:default").error().code, ErrorCode::invalid_argument);
}

TEST_P(KmsContract, rotation_keeps_old_wrappings_readable) {
  const auto before = wrap();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(kms().rotate_key(key()));
  EXPECT_TRUE(*kms().unwrap(key(), before, context_) == data_key_);
  EXPECT_TRUE(*kms().unwrap(key(), wrap(), context_) == data_key_);
}

TEST_P(KmsContract, after_destruction_nothing_opens_and_the_name_stays_taken) {
  const auto wrapped = wrap();
  ASSERT_TRUE(kms().destroy_key(key()));
  EXPECT_EQ(kms().unwrap(key(), wrapped, context_).error().code, ErrorCode::not_found);
  EXPECT_EQ(kms().wrap(key(), data_key_, context_).error().code, ErrorCode::not_found);
  EXPECT_EQ(kms().destroy_key(key()).error().code, ErrorCode::not_found);
  EXPECT_EQ(kms().create_key(key()).error().code, ErrorCode::already_exists);
}

TEST_P(KmsContract, works_from_several_threads_while_keys_rotate) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([this] {
      for (int i = 0; i < 50; ++i) ASSERT_TRUE(*kms().unwrap(key(), wrap(), context_) == data_key_);
    });
  }
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(kms().rotate_key(key()));
  for (auto& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(Providers, KmsContract,
                         ::testing::ValuesIn(aws::with_aws<KmsCase>({{"fake", "fake:default", "fake:other", make_kms<FakeKmsCase>},
                                                                     {"local", "local:default", "local:other", make_kms<LocalKmsCase>},
                                                                     {"routed", "fake:default", "fake:other", make_kms<RoutedCase>}},
                                                                    {"aws", "aws-kms:alias/", "aws-kms:alias/", make_kms<AwsKmsCase>})),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace redoubt::provider
