// SPDX-License-Identifier: Apache-2.0
#include "attest/model_signature.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "attest/tampered.h"
#include "base/file.h"
#include "base/parallel.h"
#include "crypto/hash.h"

namespace redoubt::attest {
namespace {

constexpr const char* kPredicateType = "https://model_signing/signature/v1.0";
constexpr std::size_t kFilesMax = 100'000;
constexpr std::size_t kThreadsMax = 8;

// Component by component, as pathlib compares: "a/b" stands before "a.b".
bool path_less(const ModelResource& a, const ModelResource& b) {
  const auto key = [](char c) { return c == '/' ? 0 : 1 + static_cast<unsigned char>(c); };
  return std::lexicographical_compare(a.path.begin(), a.path.end(), b.path.begin(), b.path.end(),
                                      [&](char x, char y) { return key(x) < key(y); });
}

Digest digest_over(const std::vector<ModelResource>& files) {
  crypto::Sha256 hash;
  for (const auto& file : files) hash.update(file.digest.bytes());
  return hash.finish();
}

Status check_files(const std::vector<ModelResource>& files) {
  if (files.empty()) return fail(ErrorCode::invalid_argument, "a model without files");
  if (files.size() > kFilesMax) return fail(ErrorCode::limit_exceeded, "a model of too many files");
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!is_safe_relative_path(files[i].path))
      return fail(ErrorCode::invalid_argument, "not a path inside of the model", files[i].path);
    if (i > 0 && !path_less(files[i - 1], files[i])) {
      return fail(ErrorCode::invalid_argument, "the model's files are not in order, or one is named twice", files[i].path);
    }
  }
  return {};
}

Json predicate_of(const std::vector<ModelResource>& files, const std::vector<std::string>& ignored) {
  Json ignored_paths = ignored;
  if (std::find(ignored.begin(), ignored.end(), kModelSignatureName) == ignored.end()) ignored_paths.push_back(kModelSignatureName);
  Json resources = Json::array();
  for (const auto& file : files) {
    resources.push_back({{"name", file.path}, {"algorithm", "sha256"}, {"digest", file.digest.hex()}});
  }
  return {
      {"serialization",
       {{"method", "files"}, {"hash_type", "sha256"}, {"allow_symlinks", false}, {"ignore_paths", std::move(ignored_paths)}}},
      {"resources", std::move(resources)}};
}

// The key that signed: the one that is trusted, or that of the certificate which an authority vouches for.
struct Vouched {
  crypto::PublicKey key;
  std::optional<crypto::CertifiedSigner> signer;
};

Result<Vouched> vouch(const ModelBundle& bundle, const ModelTrust& trust, std::string_view where) {
  const auto refuse = [&](const char* why) { return fail(ErrorCode::permission_denied, why, std::string(where)); };
  if (const auto* key = std::get_if<crypto::PublicKey>(&trust)) {
    if (!bundle.chain.empty()) return refuse("signed with a certificate, and a key was given to verify with");
    if (bundle.hint != key_hint_of(*key)) return refuse("signed with another key than the one given");
    if (key->algorithm() == crypto::SignatureAlgorithm::ed25519) return refuse("model signatures are ECDSA; an Ed25519 key verifies none");
    return Vouched{*key, std::nullopt};
  }
  if (bundle.chain.empty()) return refuse("signed with a bare key, and authorities were given to verify with");
  const auto& certificates = std::get<CertificateTrust>(trust);
  auto signer = TRY(crypto::verify_signer(bundle.chain, certificates.authorities, certificates.at));
  return Vouched{signer.key, signer};
}

Result<SignedModel> parse_model(const Statement& statement, std::string_view where) {
  if (statement.predicate_type != kPredicateType || statement.subjects.size() != 1) {
    return fail(ErrorCode::invalid_argument, "not a model signature of version 1.0", std::string(where));
  }
  const auto serialization = TRY(json_object(statement.predicate, "serialization", where));
  if (TRY(json_string(serialization, "method", where)) != "files" ||
      TRY(json_string(serialization, "hash_type", where)) != "sha256") {
    return fail(ErrorCode::unsupported, "a model signature over something else than whole files with SHA-256",
                std::string(where));
  }
  SignedModel model{.name = statement.subjects[0].name, .digest = statement.subjects[0].digest, .files = {}};
  for (const auto& resource : TRY(json_array(statement.predicate, "resources", where))) {
    if (TRY(json_string(resource, "algorithm", where)) != "sha256") {
      return fail(ErrorCode::unsupported, "a file's digest is not SHA-256", std::string(where));
    }
    auto name = TRY(json_string(resource, "name", where));
    const Digest digest = TRY(Digest::parse(TRY(json_string(resource, "digest", where))));
    model.files.push_back({std::move(name), digest});
  }
  TRY(check_files(model.files));
  if (digest_over(model.files) != model.digest) {
    return fail(ErrorCode::invalid_argument, "the model's digest is not the one over its files", std::string(where));
  }
  return model;
}

}  // namespace

ModelSigner signer_of(const crypto::SigningKey& key) {
  return {.key = key.public_key(), .sign = [&key](ByteView message) -> Result<Bytes> { return key.sign(message); }};
}

Result<std::string> sign_model(const std::string& name, std::vector<ModelResource> files, const ModelSigner& signer,
                               const std::vector<std::string>& ignored) {
  if (name.empty()) return fail(ErrorCode::invalid_argument, "a model without a name");
  if (signer.key.algorithm() == crypto::SignatureAlgorithm::ed25519) {
    return fail(ErrorCode::invalid_argument, "model signatures need a P-256, P-384 or P-521 key", name);
  }
  if (!signer.chain.empty() && TRY(crypto::read_signer(signer.chain[0])).key.key_id() != signer.key.key_id()) {
    return fail(ErrorCode::invalid_argument, "the signing certificate is not the private key's", name);
  }
  std::erase_if(files, [](const ModelResource& file) { return file.path == kModelSignatureName; });
  std::sort(files.begin(), files.end(), path_less);
  TRY(check_files(files));
  const Bytes payload = to_bytes(to_text(Statement{{{name, digest_over(files)}}, kPredicateType, predicate_of(files, ignored)}));
  ModelBundle bundle{.envelope = {kStatementPayloadType, payload, {}}, .hint = signer.chain.empty() ? key_hint_of(signer.key) : "", .chain = signer.chain};
  auto signature = TRY(signer.sign(pre_authentication_encoding(kStatementPayloadType, payload)));
  bundle.envelope.signatures.push_back({bundle.hint, std::move(signature)});
  return to_text(bundle);
}

Result<std::string> sign_model(const std::string& name, std::vector<ModelResource> files, const crypto::SigningKey& key) {
  return sign_model(name, std::move(files), signer_of(key));
}

Result<SignedModel> verify_model_signature(std::string_view text, const ModelTrust& trust, std::string_view where) {
  const auto bundle = parse_model_bundle(text, where);
  if (!bundle) return tampered(bundle.error().message, where);
  const auto vouched = vouch(*bundle, trust, where);
  if (!vouched) return tampered(vouched.error().message + (vouched.error().where.empty() || vouched.error().where == where ? "" : ": " + vouched.error().where), where);
  const auto& envelope = bundle->envelope;
  if (envelope.payload_type != kStatementPayloadType) return tampered("the signed payload is no in-toto statement", where);
  if (!vouched->key.verify(pre_authentication_encoding(envelope.payload_type, envelope.payload), envelope.signatures[0].signature)) {
    return tampered("the model's signature does not verify", where);
  }
  const auto statement = parse_statement(text_of(envelope.payload), where);
  if (!statement) return tampered(statement.error().message, where);
  auto model = parse_model(*statement, where);
  if (!model && model.error().code != ErrorCode::unsupported) return tampered(model.error().message, where);
  if (model) {
    model->signer = vouched->signer;
    model->key_id = vouched->key.key_id();
  }
  return model;
}

Problems compare_model(const SignedModel& signed_model, std::vector<ModelResource> files) {
  std::map<std::string, Digest> present;
  for (auto& file : files) present.emplace(std::move(file.path), file.digest);
  auto unsigned_files = present;
  for (const auto& file : signed_model.files) unsigned_files.erase(file.path);
  Problems problems;
  for (const auto& file : signed_model.files) {
    const auto found = present.find(file.path);
    if (found != present.end()) {
      if (found->second != file.digest) problems.push_back({"changed", file.path, "the file is not the one that was signed"});
      continue;
    }
    const auto moved = std::find_if(unsigned_files.begin(), unsigned_files.end(), [&](const auto& other) { return other.second == file.digest; });
    if (moved == unsigned_files.end()) {
      problems.push_back({"missing", file.path, "a signed file is not there"});
    } else {
      problems.push_back({"renamed", file.path, "the signed file lies under another name: " + moved->first});
      unsigned_files.erase(moved);
    }
  }
  for (const auto& [path, digest] : unsigned_files) problems.push_back({"extra", path, "a file that was not signed"});
  return problems;
}

Result<std::vector<ModelResource>> hash_model_folder(const std::filesystem::path& folder, const std::vector<std::string>& ignored) {
  std::vector<ModelResource> files;
  for (auto& path : TRY(list_files(folder))) {
    const bool is_left_out = std::any_of(ignored.begin(), ignored.end(), [&](const std::string& left) { return path == left || path.starts_with(left + "/"); });
    if (path != kModelSignatureName && !is_left_out) files.push_back({std::move(path), {}});
  }
  TRY(for_each_in_parallel(files.size(), threads_at_most(kThreadsMax), [&](std::size_t index) -> Status {
    const auto reader = TRY(FileReader::open_regular(folder / files[index].path, Links::refuse));
    files[index].digest = TRY(crypto::sha256_of(*reader));
    return {};
  }));
  return files;
}

Result<Problems> verify_model_folder(const std::filesystem::path& folder, const ModelTrust& trust) {
  const auto bundle = TRY(read_text_file(folder / kModelSignatureName, kModelSignatureBytesMax));
  const auto model = TRY(verify_model_signature(bundle, trust, (folder / kModelSignatureName).string()));
  return compare_model(model, TRY(hash_model_folder(folder)));
}

}  // namespace redoubt::attest
