// SPDX-License-Identifier: Apache-2.0
//
// Policies with certificates are judged in tests/oracle/model_signing_test.py, where openssl issues them.
#include "attest/signer_policy.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::attest {
namespace {

using crypto::SignatureAlgorithm;
using crypto::SigningKey;

const std::vector<ModelResource> kOneFile = {{"a.txt", crypto::sha256("hi\n")}};

class SignerPolicyTest : public ::testing::Test {
 protected:
  void SetUp() override { EXPECT_TRUE(write_file(folder_.path() / "acme.pub", key_.public_key().to_pem())); }

  SignerPolicy policy(const char* text) { return *SignerPolicy::from_json(Json::parse(text), folder_.path()); }
  std::string bundle(const SigningKey& key) { return *sign_model("tiny", kOneFile, key); }

  TemporaryFolder folder_ = std::move(*TemporaryFolder::create());
  SigningKey key_ = SigningKey::generate(SignatureAlgorithm::ecdsa_p256);
};

constexpr const char* kPolicy = R"({"unlisted": "refuse", "rules": [
  {"models": ["acme/*"], "unsigned": "refuse", "signers": [{"name": "acme", "public_key": "acme.pub"}]},
  {"models": ["lab/draft-?"], "unsigned": "accept", "signers": []}]})";

TEST_F(SignerPolicyTest, an_accepted_signer_is_named_in_the_verdict) {
  const auto verdict = policy(kPolicy).judge("acme/tiny", bundle(key_), TimePoint{});
  ASSERT_TRUE(verdict) << verdict.error().message;
  EXPECT_EQ(verdict->signer, "acme");
  EXPECT_EQ(verdict->files, kOneFile);
  EXPECT_EQ(verdict->to_json()["key_id"], key_.public_key().key_id());
}

TEST_F(SignerPolicyTest, another_signer_no_signature_and_no_rule_are_refused) {
  const auto rules = policy(kPolicy);
  EXPECT_EQ(rules.judge("acme/tiny", bundle(SigningKey::generate(SignatureAlgorithm::ecdsa_p256)), {}).error().code, ErrorCode::gate_refused);
  EXPECT_EQ(rules.judge("acme/tiny", "", {}).error().code, ErrorCode::gate_refused);
  EXPECT_EQ(rules.judge("ACME/Tiny", "", {}).error().code, ErrorCode::gate_refused);
  EXPECT_EQ(rules.judge("other/tiny", bundle(key_), {}).error().code, ErrorCode::gate_refused);
  EXPECT_EQ(rules.judge("acme/sub/tiny", bundle(key_), {}).error().code, ErrorCode::gate_refused);
  EXPECT_TRUE(rules.judge("lab/draft-1", "", {})->signer.empty());
  EXPECT_FALSE(rules.judge("lab/draft-10", "", {}));
}

TEST_F(SignerPolicyTest, its_digest_follows_the_keys) {
  const Digest before = policy(kPolicy).digest();
  EXPECT_EQ(policy(kPolicy).digest(), before);
  ASSERT_TRUE(write_file(folder_.path() / "acme.pub", SigningKey::generate(SignatureAlgorithm::ecdsa_p384).public_key().to_pem()));
  EXPECT_NE(policy(kPolicy).digest(), before);
}

TEST_F(SignerPolicyTest, a_signer_has_one_kind_of_proof_that_is_there) {
  const auto load = [&](const char* signer) {
    return SignerPolicy::from_json(Json::parse(std::string(R"({"unlisted": "refuse", "rules": [{"models": ["*"], "unsigned": "refuse", "signers": [)") + signer + "]}]}"), folder_.path());
  };
  EXPECT_TRUE(load(R"({"name": "a", "public_key": "acme.pub"})"));
  EXPECT_FALSE(load(R"({"name": "a"})"));
  EXPECT_FALSE(load(R"({"name": "a", "public_key": "acme.pub", "certificate_chain": "acme.pub"})"));
  EXPECT_FALSE(load(R"({"name": "a", "public_key": "absent.pub"})"));
  EXPECT_FALSE(load(R"({"name": "a", "certificate_chain": "acme.pub"})"));
  EXPECT_FALSE(load(R"({"name": "a", "public_key": "acme.pub", "identities": ["x"]})"));
}

}  // namespace
}  // namespace redoubt::attest
