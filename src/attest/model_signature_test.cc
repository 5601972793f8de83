// SPDX-License-Identifier: Apache-2.0
//
// That the `model_signing` tool agrees is tested in tests/oracle/model_signing_test.py.
#include "attest/model_signature.h"

#include <gtest/gtest.h>

#include "attest/dsse.h"
#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::attest {
namespace {

using crypto::SignatureAlgorithm;
using crypto::SigningKey;

// Written by model_signing 1.1.1 for a folder with a.txt ("hi\n") and sub/b.txt ("ho\n").
constexpr const char* kToolPublicKey =
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZ5ZWqGlouVNs892A/A+aSXlGDCea\n"
    "jJiCNG8+dAOd7eRFx3S+X8iybC+5Fu3vQCMorI/Y1OueHIBBq2tFfjCKtA==\n"
    "-----END PUBLIC KEY-----\n";
constexpr const char* kToolBundle =
    R"json({"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"a68cc75101fd127c6fe32febd1c23c6d95782800b37fa39c62b5f6bb7893a244"},"tlogEntries":[]},"dsseEnvelope":{"payload":"ewogICJfdHlwZSI6ICJodHRwczovL2luLXRvdG8uaW8vU3RhdGVtZW50L3YxIiwKICAic3ViamVjdCI6IFsKICAgIHsKICAgICAgIm5hbWUiOiAibSIsCiAgICAgICJkaWdlc3QiOiB7CiAgICAgICAgInNoYTI1NiI6ICJhODlmNTljMmQ1NDIwNDIyZTJmMWE3MGIzYjZlNDQ1YjJlODYwNjk1ZTEyZWE3MzMwMzYzMzk1ZjBkM2U1ZTYyIgogICAgICB9CiAgICB9CiAgXSwKICAicHJlZGljYXRlVHlwZSI6ICJodHRwczovL21vZGVsX3NpZ25pbmcvc2lnbmF0dXJlL3YxLjAiLAogICJwcmVkaWNhdGUiOiB7CiAgICAic2VyaWFsaXphdGlvbiI6IHsKICAgICAgImlnbm9yZV9wYXRocyI6IFsKICAgICAgICAiLmdpdGh1YiIsCiAgICAgICAgIi5naXQiLAogICAgICAgICIuZ2l0YXR0cmlidXRlcyIsCiAgICAgICAgIi5naXRpZ25vcmUiLAogICAgICAgICJtb2RlbC5zaWciCiAgICAgIF0sCiAgICAgICJhbGxvd19zeW1saW5rcyI6IGZhbHNlLAogICAgICAibWV0aG9kIjogImZpbGVzIiwKICAgICAgImhhc2hfdHlwZSI6ICJzaGEyNTYiCiAgICB9LAogICAgInJlc291cmNlcyI6IFsKICAgICAgewogICAgICAgICJkaWdlc3QiOiAiOThlYTZlNGYyMTZmMmZiNGI2OWZmZjliM2E0NDg0MmMzODY4NmNhNjg1ZjNmNTVkYzQ4YzVkM2ZiMTEwN2JlNCIsCiAgICAgICAgImFsZ29yaXRobSI6ICJzaGEyNTYiLAogICAgICAgICJuYW1lIjogImEudHh0IgogICAgICB9LAogICAgICB7CiAgICAgICAgImRpZ2VzdCI6ICI1NmNjNWVlYzU1ZGM1OGM3MDQzYWM3MjRmOTYyZTQxODkyZWY1OTE1NTJkZDAyM2E5YjgxZjk1OTU4YmZmZjYzIiwKICAgICAgICAiYWxnb3JpdGhtIjogInNoYTI1NiIsCiAgICAgICAgIm5hbWUiOiAic3ViL2IudHh0IgogICAgICB9CiAgICBdCiAgfQp9","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"MEUCIQDZMe7JE+kjgctSzYzLjxzIjRh1uyMueweZ1XAwDBxRMQIgG6X+NKuIpsM8PLMIFtERyzZyhUVhrM/A45Aj5Mbl6pU=","keyid":""}]}})json";

const std::vector<ModelResource> kFiles = {{"a.txt", crypto::sha256("hi\n")}, {"sub/b.txt", crypto::sha256("ho\n")}};

TEST(ModelSignature, of_the_tool_is_accepted) {
  const auto model = verify_model_signature(kToolBundle, *crypto::PublicKey::from_pem(kToolPublicKey), "model.sig");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->name, "m");
  EXPECT_EQ(model->files, kFiles);
}

TEST(ModelSignature, ours_verifies_and_another_key_does_not) {
  const auto key = SigningKey::generate(SignatureAlgorithm::ecdsa_p256);
  const auto bundle = sign_model("model", {kFiles[1], kFiles[0]}, key);
  ASSERT_TRUE(bundle);
  EXPECT_EQ(verify_model_signature(*bundle, key.public_key(), "s")->files, kFiles);
  const auto other = verify_model_signature(*bundle, SigningKey::generate(SignatureAlgorithm::ecdsa_p256).public_key(), "s");
  EXPECT_EQ(other.error().code, ErrorCode::tampered);
}

TEST(ModelSignature, every_flipped_bit_is_tampered) {
  const auto key = SigningKey::generate(SignatureAlgorithm::ecdsa_p256);
  const auto bundle = *sign_model("model", kFiles, key);
  for (std::size_t at = 0; at < bundle.size(); ++at) {
    auto changed = bundle;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    const auto model = verify_model_signature(changed, key.public_key(), "s");
    ASSERT_FALSE(model) << at;
    EXPECT_EQ(model.error().code, ErrorCode::tampered);
  }
}

TEST(ModelSignature, files_are_sorted_by_path_components) {
  const auto key = SigningKey::generate(SignatureAlgorithm::ecdsa_p256);
  const Digest any = crypto::sha256("x");
  const auto bundle = *sign_model("m", {{"a.b", any}, {"a/b", any}, {"B", any}, {"a-b", any}, {"model.sig", any}}, key);
  std::vector<std::string> order;
  const auto model = *verify_model_signature(bundle, key.public_key(), "s");
  for (const auto& file : model.files) order.push_back(file.path);
  EXPECT_EQ(order, (std::vector<std::string>{"B", "a/b", "a-b", "a.b"}));
}

TEST(ModelSignature, what_the_tool_lets_through_is_refused) {
  const auto key = SigningKey::generate(SignatureAlgorithm::ecdsa_p256);
  const auto good = *parse_json(*sign_model("model", kFiles, key), "s");
  const auto refused = [&](const Json& bundle) {
    return !verify_model_signature(dump_json(bundle), key.public_key(), "s").has_value();
  };
  ASSERT_FALSE(refused(good));
  auto two = good;
  two["dsseEnvelope"]["signatures"].push_back(two["dsseEnvelope"]["signatures"][0]);
  EXPECT_TRUE(refused(two));
  auto logged = good;
  logged["verificationMaterial"]["tlogEntries"].push_back(1);
  EXPECT_TRUE(refused(logged));
  auto other_type = good;
  other_type["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.2+json";
  EXPECT_TRUE(refused(other_type));
}

TEST(ModelSignature, unfit_models_and_keys_are_not_signed) {
  const auto key = SigningKey::generate(SignatureAlgorithm::ecdsa_p256);
  const Digest any{};
  EXPECT_FALSE(sign_model("m", {}, key));
  EXPECT_FALSE(sign_model("", kFiles, key));
  EXPECT_FALSE(sign_model("m", {{"../x", any}}, key));
  EXPECT_FALSE(sign_model("m", {{"x", any}, {"x", any}}, key));
  EXPECT_FALSE(sign_model("m", kFiles, SigningKey::generate(SignatureAlgorithm::ed25519)));
}

TEST(ModelSignature, of_a_folder_names_extra_missing_and_changed_files) {
  const auto folder = std::move(*TemporaryFolder::create());
  const auto key = SigningKey::generate(SignatureAlgorithm::ecdsa_p256);
  ASSERT_TRUE(make_folder(folder.path() / "sub"));
  for (const char* name : {"a", "b", "sub/c"}) ASSERT_TRUE(write_file(folder.path() / name, std::string_view(name)));
  const auto bundle = *sign_model("m", *hash_model_folder(folder.path()), key);
  ASSERT_TRUE(write_file(folder.path() / kModelSignatureName, bundle));
  EXPECT_TRUE(verify_model_folder(folder.path(), key.public_key())->empty());
  std::filesystem::remove(folder.path() / "a");
  ASSERT_TRUE(write_file(folder.path() / "b", std::string_view("B")));
  ASSERT_TRUE(write_file(folder.path() / ".gitignore", std::string_view("")));
  ASSERT_TRUE(write_file(folder.path() / "sub/model.sig", std::string_view("")));
  const auto problems = *verify_model_folder(folder.path(), key.public_key());
  std::vector<std::string> named;
  for (const auto& problem : problems) named.push_back(problem.kind + " " + problem.object);
  EXPECT_EQ(named, (std::vector<std::string>{"missing a", "changed b", "extra .gitignore", "extra sub/model.sig"}));
}

TEST(ModelSignature, every_curve_signs_and_another_curve_s_key_does_not_verify) {
  for (const auto algorithm : {SignatureAlgorithm::ecdsa_p256, SignatureAlgorithm::ecdsa_p384, SignatureAlgorithm::ecdsa_p521}) {
    const auto key = SigningKey::generate(algorithm);
    const auto bundle = sign_model("m", kFiles, key);
    ASSERT_TRUE(bundle) << bundle.error().message;
    const auto model = verify_model_signature(*bundle, key.public_key(), "s");
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ(model->key_id, key.public_key().key_id());
    EXPECT_FALSE(verify_model_signature(*bundle, SigningKey::generate(algorithm).public_key(), "s"));
  }
}

TEST(ModelSignature, a_bundle_says_in_one_way_who_signed) {
  const auto key = SigningKey::generate(SignatureAlgorithm::ecdsa_p256);
  const auto good = *parse_json(*sign_model("model", kFiles, key), "s");
  auto both = good;
  both["verificationMaterial"]["certificate"] = {{"rawBytes", "AAAA"}};
  EXPECT_FALSE(parse_model_bundle(dump_json(both), "s"));
  auto neither = good;
  neither["verificationMaterial"].erase("publicKey");
  EXPECT_FALSE(parse_model_bundle(dump_json(neither), "s"));
  auto nameless = good;
  nameless["verificationMaterial"]["publicKey"]["hint"] = "";
  EXPECT_FALSE(parse_model_bundle(dump_json(nameless), "s"));
  auto stamped = good;
  stamped["verificationMaterial"]["timestampVerificationData"] = Json::object();
  EXPECT_FALSE(parse_model_bundle(dump_json(stamped), "s"));
}

TEST(ModelSignature, a_file_under_another_name_is_renamed) {
  const SignedModel model{.name = "m", .digest = {}, .files = kFiles};
  const auto problems = compare_model(model, {{"a.txt", kFiles[0].digest}, {"b.txt", kFiles[1].digest}});
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].kind + " " + problems[0].object, "renamed sub/b.txt");
}

}  // namespace
}  // namespace redoubt::attest
