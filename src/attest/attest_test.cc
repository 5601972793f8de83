// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "attest/dsse.h"
#include "attest/step_statement.h"
#include "crypto/hash.h"

namespace redoubt::attest {
namespace {

using crypto::SignatureAlgorithm;
using crypto::SigningKey;

TrustedKeys trusting(const SigningKey& key, std::string identity = "operator") {
  return [public_key = key.public_key(), identity](std::string_view id) -> std::optional<TrustedKey> {
    if (id != public_key.key_id()) return std::nullopt;
    return TrustedKey{public_key, identity};
  };
}

StepRecord example_step(std::string step) {
  return {.step = std::move(step),
          .input_key = crypto::sha256("key"),
          .inputs = {{"model", crypto::sha256("model")}, {"data", crypto::sha256("data")}},
          .outputs = {{"adapter", crypto::sha256("adapter")}},
          .parameters = {{"seed", 7}, {"learning_rate", 5e-4}},
          .identity = "operator",
          .started = TimePoint{std::chrono::milliseconds{1'700'000'000'123}},
          .finished = TimePoint{std::chrono::milliseconds{1'700'000'060'456}},
          .result = {{"eval_loss", 1.43}}};
}

TEST(Dsse, pre_authentication_encoding_is_the_one_of_the_specification) {
  EXPECT_EQ(text_of(pre_authentication_encoding("http://example.com/HelloWorld", view_of("hello world"))),
            "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
  EXPECT_EQ(text_of(pre_authentication_encoding("", {})), "DSSEv1 0  0 ");
}

// The test vector of the DSSE protocol document, its key written as PEM and its signature as DER.
TEST(Dsse, signature_of_the_specification_verifies) {
  const auto key = crypto::PublicKey::from_pem(
      "-----BEGIN PUBLIC KEY-----\n"
      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZ805D3eqNZywjCI19lInBJOp7YMr\n"
      "CrzAH3CVTAOQ0jgMeCvVTiaRJaRPRDOv8UMs6U4SvKc6pnrIDOoSYI3fdA==\n"
      "-----END PUBLIC KEY-----\n");
  ASSERT_TRUE(key);
  const auto envelope = parse_envelope(
      R"({"payload": "aGVsbG8gd29ybGQ=", "payloadType": "http://example.com/HelloWorld", "signatures": [{"sig":
      "MEQCIANyarEBrVbCdjtsaqyOSHJ14qeRk6CdxfhZ2fjvPEo7AiBR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]})",
      "vector");
  ASSERT_TRUE(envelope);
  const auto verified = verify_envelope(
      *envelope,
      [&](std::string_view) {
        return TrustedKey{*key, "spec"};
      },
      "vector");
  ASSERT_TRUE(verified);
  EXPECT_EQ(text_of(verified->payload), "hello world");
}

TEST(Dsse, envelope_verifies_and_gives_back_what_was_signed) {
  for (const auto algorithm : {SignatureAlgorithm::ed25519, SignatureAlgorithm::ecdsa_p256}) {
    const auto key = SigningKey::generate(algorithm);
    const auto text = to_text(sign_envelope("text/plain", view_of("hello"), key));
    const auto verified = verify_envelope(*parse_envelope(text, "t"), trusting(key), "t");
    ASSERT_TRUE(verified) << verified.error().message;
    EXPECT_EQ(text_of(verified->payload), "hello");
    EXPECT_EQ(verified->payload_type, "text/plain");
    EXPECT_EQ(verified->identity, "operator");
  }
}

TEST(Dsse, envelope_by_an_unknown_key_is_tampered) {
  const auto envelope = sign_envelope("text/plain", view_of("hello"), SigningKey::generate(SignatureAlgorithm::ed25519));
  const auto verified = verify_envelope(envelope, trusting(SigningKey::generate(SignatureAlgorithm::ed25519)), "t");
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code, ErrorCode::tampered);
}

TEST(Dsse, a_payload_type_cannot_be_swapped) {
  const auto key = SigningKey::generate(SignatureAlgorithm::ed25519);
  auto envelope = sign_envelope("text/plain", view_of("hello"), key);
  envelope.payload_type = "text/html";
  EXPECT_EQ(verify_envelope(envelope, trusting(key), "t").error().code, ErrorCode::tampered);
}

TEST(Dsse, parsing_is_strict) {
  for (const char* bad : {
           "",
           "[]",
           "{}",
           R"({"payload":"","payloadType":"t","signatures":[]})",
           R"({"payload":"","payloadType":"t","signatures":[{"sig":"AA==","keyid":"k"}],"more":1})",
           R"({"payload":"","payloadType":"t","signatures":[{"sig":"AA==","keyid":"k","cert":"c"}]})",
           R"({"payload":"AB==","payloadType":"t","signatures":[{"sig":"AA==","keyid":"k"}]})",
           R"({"payload":"","payload":"","payloadType":"t","signatures":[{"sig":"AA=="}]})",
           R"({"payload":"A A=","payloadType":"t","signatures":[{"sig":"AA=="}]})",
       }) {
    EXPECT_FALSE(parse_envelope(bad, "t")) << bad;
  }
}

TEST(Statement, every_flipped_bit_of_a_signed_statement_is_tampered) {
  const auto key = SigningKey::generate(SignatureAlgorithm::ed25519);
  const auto text = sign_statement(*to_statement(example_step("evaluate")), key);
  ASSERT_TRUE(verify_statement(text, trusting(key), "t"));
  for (std::size_t at = 0; at < text.size(); ++at) {
    auto changed = text;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    const auto verified = verify_statement(changed, trusting(key), "t");
    ASSERT_FALSE(verified) << at;
    EXPECT_EQ(verified.error().code, ErrorCode::tampered);
  }
}

TEST(Statement, parsing_is_strict) {
  const auto good = to_text(*to_statement(example_step("data")));
  ASSERT_TRUE(parse_statement(good, "t"));
  auto json = *parse_json(good, "t");
  for (const auto& [pointer, value] :
       std::vector<std::pair<const char*, Json>>{{"/_type", "https://in-toto.io/Statement/v0.1"},
                                                 {"/subject", Json::array()},
                                                 {"/more", 1},
                                                 {"/subject/0/digest/sha256", std::string(64, 'A')},
                                                 {"/subject/0/digest/sha1", "00"},
                                                 {"/subject/0/uri", "x"},
                                                 {"/predicate", 1},
                                                 {"/predicateType", nullptr}}) {
    auto bad = json;
    bad[Json::json_pointer(pointer)] = value;
    EXPECT_FALSE(parse_statement(dump_json(bad), "t")) << pointer;
  }
}

TEST(StepStatement, record_survives_the_round_trip_in_both_forms) {
  for (const char* step : {"acquire", "train", "image", "review"}) {
    auto record = example_step(step);
    const auto statement = to_statement(record);
    ASSERT_TRUE(statement);
    const auto again = to_step_record(*parse_statement(to_text(*statement), "t"));
    ASSERT_TRUE(again) << step << again.error().message;
    EXPECT_EQ(*again, record);
  }
}

TEST(StepStatement, what_is_trained_has_slsa_provenance) {
  const auto statement = to_statement(example_step("train"));
  EXPECT_EQ(statement->predicate_type, "https://slsa.dev/provenance/v1");
  EXPECT_EQ(statement->predicate.at("buildDefinition").at("buildType"), "urn:redoubt:build:train:v1");
  EXPECT_EQ(statement->predicate.at("runDetails").at("builder").at("id"), "urn:redoubt:identity:operator");
  EXPECT_THAT(statement->subjects, testing::ElementsAre(Subject{"adapter", crypto::sha256("adapter")}));
}

TEST(StepStatement, subjects_fall_back_to_inputs_then_to_the_input_key) {
  auto record = example_step("review");
  record.outputs.clear();
  EXPECT_EQ(to_statement(record)->subjects.size(), 2u);
  record.inputs.clear();
  const auto statement = *to_statement(record);
  EXPECT_THAT(statement.subjects, testing::ElementsAre(Subject{"review", record.input_key}));
  EXPECT_EQ(*to_step_record(statement), record);
}

TEST(StepStatement, hidden_members_and_foreign_subjects_are_refused) {
  auto statement = *to_statement(example_step("data"));
  statement.predicate["more"] = 1;
  EXPECT_FALSE(to_step_record(statement));
  for (const char* step : {"data", "train"}) {
    statement = *to_statement(example_step(step));
    statement.subjects.push_back(statement.subjects[0]);
    EXPECT_FALSE(to_step_record(statement)) << step;
  }
}

TEST(StepStatement, incomplete_records_are_refused) {
  for (auto spoil : std::vector<void (*)(StepRecord&)>{
           [](StepRecord& r) { r.step = "Train"; }, [](StepRecord& r) { r.step.clear(); },
           [](StepRecord& r) { r.identity.clear(); }, [](StepRecord& r) { r.parameters = Json::array(); },
           [](StepRecord& r) { r.inputs[""] = Digest{}; }, [](StepRecord& r) { r.outputs.clear(); }}) {
    auto record = example_step("train");
    spoil(record);
    EXPECT_EQ(to_statement(record).error().code, ErrorCode::invalid_argument);
  }
}

}  // namespace
}  // namespace redoubt::attest
