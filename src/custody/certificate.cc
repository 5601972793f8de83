// SPDX-License-Identifier: Apache-2.0
#include "custody/certificate.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "attest/step_statement.h"
#include "crypto/hash.h"
#include "custody/view.h"

namespace redoubt::custody {
namespace {

constexpr const char* kCertificateWhere = "certificate";
constexpr int kVersion = 1;
constexpr std::size_t kEntriesMax = 8, kObjectsMax = 200'000;

Result<ErasureCertificate> parse_certificate_fields(std::string_view text) {
  const auto json = TRY(parse_json(text, kCertificateWhere, {.bytes_max = kCertificateBytesMax, .depth_max = 6}));
  ErasureCertificate certificate;
  certificate.root = TRY(json_string(json, "root", kCertificateWhere));
  for (const auto& identity : TRY(json_array(json, "identities", kCertificateWhere))) {
    auto name = TRY(json_string(identity, "name", kCertificateWhere));
    auto key = TRY(json_string(identity, "public_key", kCertificateWhere));
    certificate.identities.emplace_back(std::move(name), std::move(key));
  }
  for (const auto& entry : TRY(json_array(json, "entries", kCertificateWhere))) {
    auto envelope = TRY(json_string(entry, "envelope", kCertificateWhere));
    auto proof = TRY(json_string(entry, "proof", kCertificateWhere));
    certificate.entries.push_back({std::move(envelope), std::move(proof)});
  }
  for (const auto& object : TRY(json_array(json, "objects", kCertificateWhere))) {
    if (!object.is_string()) return fail(ErrorCode::tampered, "an object is no text", kCertificateWhere);
    certificate.objects.push_back(object.get<std::string>());
  }
  if (certificate.entries.empty() || certificate.entries.size() > kEntriesMax || certificate.objects.size() > kObjectsMax) return fail(ErrorCode::tampered, "a list is too long or empty", kCertificateWhere);
  return certificate;
}

class Verification {
 public:
  Verification(std::string_view text, const std::optional<crypto::PublicKey>& root) : text_(text), pinned_(root) {}

  CertificateReport run() {
    auto parsed = parse_certificate(text_);
    if (!parsed) return add("certificate", kCertificateWhere, parsed.error().message), std::move(report_);
    certificate_ = std::move(*parsed);
    report_.root = certificate_.root;
    report_.objects = certificate_.objects;
    const auto root = ledger::parse_note_key(certificate_.root);
    if (!root) return add("root", kCertificateWhere, root.error().message), std::move(report_);
    report_.root_known = pinned_.has_value();
    if (pinned_ && pinned_->key_id() != root->key.key_id()) add("root", certificate_.root, "the certificate is of another ledger than the one whose public key was given");
    for (std::size_t i = 0; i < certificate_.entries.size(); ++i) read_entry(i, *root);
    judge_identities();
    judge();
    return std::move(report_);
  }

 private:
  void add(std::string kind, std::string object, std::string detail) { report_.problems.push_back({std::move(kind), std::move(object), std::move(detail)}); }

  std::optional<attest::TrustedKey> key_of(std::string_view id) const {
    for (const auto& [name, pem] : certificate_.identities) {
      auto key = crypto::PublicKey::from_pem(pem);
      if (key && key->key_id() == id) return attest::TrustedKey{std::move(*key), name};
    }
    return std::nullopt;
  }

  void read_entry(std::size_t i, const ledger::NoteKey& root) {
    const auto& entry = certificate_.entries[i];
    const std::string where = fmt::format("entry {}", i + 1);
    const auto proof = ledger::parse_tlog_proof(entry.proof, where);
    if (!proof) return add("proof", where, proof.error().message);
    if (const auto head = ledger::verify_tlog_proof(*proof, view_of(entry.envelope), root, where); !head) add("proof", where, head.error().message);
    const auto verified = attest::verify_statement(entry.envelope, [this](std::string_view id) { return key_of(id); }, where);
    if (!verified) return add("signature", where, verified.error().message);
    auto record = attest::to_step_record(verified->statement);
    if (!record) return add("statement", where, record.error().message);
    if (record->identity != verified->identity) add("signature", where, fmt::format("names the identity '{}' and is signed by '{}'", record->identity, verified->identity));
    signers_.insert(verified->key_id);
    records_.push_back(std::move(*record));
  }

  // Nobody is named who signed nothing, and no key is spelled otherwise than it is written.
  void judge_identities() {
    for (const auto& [name, pem] : certificate_.identities) {
      const auto key = crypto::PublicKey::from_pem(pem);
      if (!key || key->to_pem() != pem || !signers_.contains(key->key_id())) add("identity", name, "signed none of the entries");
    }
  }

  void judge() {
    if (records_.size() != certificate_.entries.size()) return;
    const auto& erasure = records_.back();
    if (erasure.step != kErasureStep) return add("statement", "erasure", "the last entry is no erasure");
    report_.erasure = erasure.result;
    report_.erased = erasure.finished;
    const auto listed = erasure.outputs.find("objects");
    if (listed == erasure.outputs.end() || listed->second != digest_of_objects(certificate_.objects)) add("objects", "objects", "not the list of objects that the statement is about");
    const Json unwrap = json_or(erasure.result, "unwrap", Json::object());
    const auto tried = json_or(unwrap, "tried", std::int64_t{-1}), refused = json_or(unwrap, "refused", std::int64_t{-2});
    if (tried != refused) add("statement", "unwrap", "the statement does not say that the key's objects open no more");
    report_.requested_by = json_or(erasure.result, "requested_by", "");
    judge_decision(erasure);
  }

  const attest::StepRecord* event(const char* action, const char* member, const std::string& value) const {
    const auto found = std::find_if(records_.begin(), records_.end(), [&](const attest::StepRecord& one) {
      return one.step == kVaultStep && json_or(one.result, "action", "") == action && !value.empty() && json_or(one.result, member, "") == value;
    });
    return found == records_.end() ? nullptr : &*found;
  }

  // Whoever finished it, the key went because somebody decided so: by a code of their own, or on another person's request, which that
  // person signed.
  void judge_decision(const attest::StepRecord& erasure) {
    const auto* decided = event("erase", "key", json_or(erasure.result, "key", ""));
    if (decided == nullptr) return add("decision", "erase", "the decision to destroy the key is not in the certificate");
    report_.identity = decided->identity;
    const std::string id = json_or(decided->result, "request", "");
    if (id.empty()) {
      if (json_or(decided->result, "totp_counter", std::int64_t{0}) <= 0 || decided->identity != report_.requested_by) add("decision", "erase", "neither another person nor a code decided it");
      return;
    }
    const auto* asked = event("request", "request", id);
    if (asked == nullptr || json_or(asked->result, "operation", "") != "erase") return add("request", id, "the request that the decision names is not in the certificate");
    if (asked->identity != report_.requested_by || asked->identity == decided->identity) add("request", id, "who asked is not another person than who approved");
  }

  std::string_view text_;
  const std::optional<crypto::PublicKey>& pinned_;
  ErasureCertificate certificate_;
  std::vector<attest::StepRecord> records_;
  std::set<std::string> signers_;  // key ids
  CertificateReport report_;
};

}  // namespace

Digest digest_of_objects(const std::vector<std::string>& objects) { return crypto::sha256(dump_json(objects)); }

std::string encode_certificate(const ErasureCertificate& certificate) {
  Json identities = Json::array(), entries = Json::array();
  for (const auto& [name, key] : certificate.identities) identities.push_back({{"name", name}, {"public_key", key}});
  for (const auto& entry : certificate.entries) entries.push_back({{"envelope", entry.envelope}, {"proof", entry.proof}});
  return dump_json({{"format", kCertificateFormat}, {"version", kVersion}, {"root", certificate.root}, {"identities", identities}, {"entries", entries}, {"objects", certificate.objects}}) + "\n";
}

Result<ErasureCertificate> parse_certificate(std::string_view text) {
  auto certificate = parse_certificate_fields(text);
  if (!certificate || encode_certificate(*certificate) != text) return fail(ErrorCode::tampered, "not a certificate of erasure as it is written", kCertificateWhere);
  return certificate;
}

bool is_certificate(std::string_view text) { return text.substr(0, 256).find("\"entries\":[{\"envelope\"") != text.npos; }

CertificateReport verify_certificate(std::string_view text, const std::optional<crypto::PublicKey>& root) { return Verification(text, root).run(); }

}  // namespace redoubt::custody
