// SPDX-License-Identifier: Apache-2.0
#include "custody/certificate.h"

#include <gtest/gtest.h>

#include "custody/testing_vault.h"

namespace redoubt::custody {
namespace {

class CertificateTest : public testing::Test, public VaultFixture {
 protected:
  // `by` approves what the operator asked for.
  std::string certificate(const std::string& by = "reviewer", std::uint64_t refused = 2) {
    certificate_ = {};
    std::vector<std::uint64_t> entries = {*record({{"action", "request"}, {"request", "request-1"}, {"operation", "erase"}, {"target", "people"}, {"artifacts", Json::array()}, {"reason", "asked"}, {"expires", to_rfc3339(clock.now())}})};
    identity = by;
    entries.push_back(*record({{"action", "erase"}, {"key", "0a"}, {"name", "people"}, {"request", "request-1"}, {"requested_by", "operator"}}));
    identity = "operator";
    certificate_.objects = {"own/0a/blobs/" + std::string(64, '1'), "own/0a/manifests/" + std::string(64, '2')};
    attest::StepRecord erasure;
    erasure.step = kErasureStep;
    erasure.identity = "operator";  // whoever goes on after a process that was killed
    erasure.started = erasure.finished = clock.now();
    erasure.input_key = crypto::sha256("erasure");
    erasure.outputs = {{"objects", digest_of_objects(certificate_.objects)}};
    erasure.result = {{"name", "people"}, {"key", "0a"}, {"uri", "own:0a"}, {"request", "request-1"}, {"requested_by", "operator"}, {"unwrap", {{"tried", 2}, {"refused", refused}}}};
    entries.push_back(evidence->append(erasure, keys.at("operator"))->index);
    certificate_.root = ledger::to_text(ledger::NoteKey{"redoubt.test/1", ledger_public()});
    const auto proofs = *evidence->proofs(entries);
    for (std::size_t i = 0; i < entries.size(); ++i) certificate_.entries.push_back({to_text(*evidence->entry(entries[i])), ledger::to_text(proofs[i])});
    for (const auto& name : std::set<std::string>{"operator", by}) certificate_.identities.emplace_back(name, keys.at(name).public_key().to_pem());
    return encode_certificate(certificate_);
  }
  // The fixture keeps the ledger's key to itself; its note names it.
  crypto::PublicKey ledger_public() { return ledger_key.public_key(); }
  void SetUp() override {
    const auto trusted = [this](std::string_view id) -> std::optional<attest::TrustedKey> {
      for (const auto& [name, key] : keys) {
        if (key.public_key().key_id() == id) return attest::TrustedKey{key.public_key(), name};
      }
      return std::nullopt;
    };
    evidence = *ledger::EvidenceLog::create({folder.path() / "ledger-2", folder.path() / "anchor-2", "redoubt.test/1"}, ledger_key, trusted);
  }
  crypto::SigningKey ledger_key = crypto::SigningKey::generate(crypto::SignatureAlgorithm::ed25519);
  ErasureCertificate certificate_;
};

TEST_F(CertificateTest, verifies_with_the_ledger_s_key_alone) {
  const auto text = certificate();
  EXPECT_TRUE(is_certificate(text));
  const auto report = verify_certificate(text, ledger_public());
  EXPECT_TRUE(report.problems.empty()) << report.problems.front().detail;
  EXPECT_TRUE(report.root_known);
  EXPECT_EQ(report.identity, "reviewer");
  EXPECT_EQ(report.requested_by, "operator");
  EXPECT_EQ(report.objects.size(), 2u);
}

TEST_F(CertificateTest, of_another_ledger_does_not) {
  const auto other = crypto::SigningKey::generate(crypto::SignatureAlgorithm::ed25519);
  EXPECT_FALSE(verify_certificate(certificate(), other.public_key()).problems.empty());
}

TEST_F(CertificateTest, names_every_changed_byte) {
  const auto text = certificate();
  for (std::size_t at = 0; at < text.size(); at += 11) {
    std::string changed = text;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(verify_certificate(changed, ledger_public()).problems.empty()) << "byte " << at << " of " << text.size();
  }
}

TEST_F(CertificateTest, needs_its_request_its_objects_and_another_person) {
  (void)certificate();
  auto without = certificate_;
  without.entries.erase(without.entries.begin());
  EXPECT_FALSE(verify_certificate(encode_certificate(without), ledger_public()).problems.empty());
  auto undecided = certificate_;
  undecided.entries.erase(undecided.entries.begin() + 1);
  EXPECT_FALSE(verify_certificate(encode_certificate(undecided), ledger_public()).problems.empty());
  auto fewer = certificate_;
  fewer.objects.pop_back();
  EXPECT_FALSE(verify_certificate(encode_certificate(fewer), ledger_public()).problems.empty());
  auto more = certificate_;
  more.identities.emplace_back("second", keys.at("second").public_key().to_pem());
  EXPECT_FALSE(verify_certificate(encode_certificate(more), ledger_public()).problems.empty());
}

TEST_F(CertificateTest, is_none_where_one_person_did_both) { EXPECT_FALSE(verify_certificate(certificate("operator"), ledger_public()).problems.empty()); }

TEST_F(CertificateTest, is_none_where_something_still_opened) { EXPECT_FALSE(verify_certificate(certificate("reviewer", 1), ledger_public()).problems.empty()); }

}  // namespace
}  // namespace redoubt::custody
