// SPDX-License-Identifier: Apache-2.0
#include "attest/model_signature.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "attest/dsse.h"
#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::attest {
namespace {

constexpr const char* kBundleType = "application/vnd.dev.sigstore.bundle.v0.3+json";
constexpr const char* kPredicateType = "https://model_signing/signature/v1.0";
constexpr std::size_t kFilesMax = 100'000;

tl::unexpected<Error> tampered(std::string why, std::string_view where) {
  return fail(ErrorCode::tampered, std::move(why), std::string(where));
}

// Component by component, as pathlib compares: "a/b" stands before "a.b".
bool path_less(const ModelResource& a, const ModelResource& b) {
  const auto key = [](char c) { return c == '/' ? 0 : 1 + static_cast<unsigned char>(c); };
  return std::lexicographical_compare(a.path.begin(), a.path.end(), b.path.begin(), b.path.end(),
                                      [&](char x, char y) { return key(x) < key(y); });
}

// How the bundle names its key: SHA-256 over the PEM text.
std::string hint_of(const crypto::PublicKey& key) { return crypto::sha256(key.to_pem()).hex(); }

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

Json predicate_of(const std::vector<ModelResource>& files) {
  Json resources = Json::array();
  for (const auto& file : files) {
    resources.push_back({{"name", file.path}, {"algorithm", "sha256"}, {"digest", file.digest.hex()}});
  }
  return {
      {"serialization",
       {{"method", "files"}, {"hash_type", "sha256"}, {"allow_symlinks", false}, {"ignore_paths", {kModelSignatureName}}}},
      {"resources", std::move(resources)}};
}

Result<Envelope> parse_bundle(std::string_view text, const crypto::PublicKey& key, std::string_view where) {
  const auto bundle = TRY(parse_json(text, where, {.bytes_max = kModelSignatureBytesMax, .depth_max = 16}));
  const auto refuse = [&](const char* why) { return fail(ErrorCode::invalid_argument, why, std::string(where)); };
  if (TRY(json_string(bundle, "mediaType", where)) != kBundleType) return refuse("not a sigstore bundle of version 0.3");
  const auto material = TRY(json_object(bundle, "verificationMaterial", where));
  const auto public_key = TRY(json_object(material, "publicKey", where));
  if (bundle.size() != 3 || material.size() > 2 || public_key.size() != 1) return refuse("a bundle with unknown members");
  if (material.size() == 2 && !TRY(json_array(material, "tlogEntries", where)).empty()) {
    return refuse("a bundle with transparency log entries, which are not checked here");
  }
  const auto hint = TRY(json_string(public_key, "hint", where));
  if (hint != hint_of(key)) return refuse("signed with another key than the one given");
  auto envelope = TRY(parse_envelope(dump_json(TRY(json_object(bundle, "dsseEnvelope", where))), where));
  if (envelope.signatures.size() != 1) return refuse("a bundle with more than one signature");
  const auto& key_id = envelope.signatures[0].key_id;
  if (!key_id.empty() && key_id != hint) return refuse("a signature that names another key than the bundle");
  return envelope;
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

Result<std::string> sign_model(const std::string& name, std::vector<ModelResource> files, const crypto::SigningKey& key) {
  if (name.empty()) return fail(ErrorCode::invalid_argument, "a model without a name");
  if (key.public_key().algorithm() != crypto::SignatureAlgorithm::ecdsa_p256) {
    return fail(ErrorCode::invalid_argument, "model signatures need a P-256 key", name);
  }
  std::erase_if(files, [](const ModelResource& file) { return file.path == kModelSignatureName; });
  std::sort(files.begin(), files.end(), path_less);
  TRY(check_files(files));
  const Statement statement{{{name, digest_over(files)}}, kPredicateType, predicate_of(files)};
  auto envelope = sign_envelope(kStatementPayloadType, view_of(to_text(statement)), key);
  const auto hint = hint_of(key.public_key());
  envelope.signatures[0].key_id = hint;
  const Json signed_envelope = TRY(parse_json(to_text(envelope), "envelope"));
  return dump_json({{"mediaType", kBundleType},
                    {"verificationMaterial", {{"publicKey", {{"hint", hint}}}, {"tlogEntries", Json::array()}}},
                    {"dsseEnvelope", signed_envelope}});
}

Result<SignedModel> verify_model_signature(std::string_view bundle, const crypto::PublicKey& key, std::string_view where) {
  const auto envelope = parse_bundle(bundle, key, where);
  if (!envelope) return tampered(envelope.error().message, where);
  if (envelope->payload_type != kStatementPayloadType) return tampered("the signed payload is no in-toto statement", where);
  if (!key.verify(pre_authentication_encoding(envelope->payload_type, envelope->payload),
                  envelope->signatures[0].signature)) {
    return tampered("the model's signature does not verify", where);
  }
  const auto statement = parse_statement(text_of(envelope->payload), where);
  if (!statement) return tampered(statement.error().message, where);
  auto model = parse_model(*statement, where);
  if (!model && model.error().code != ErrorCode::unsupported) return tampered(model.error().message, where);
  return model;
}

Problems compare_model(const SignedModel& signed_model, std::vector<ModelResource> files) {
  std::map<std::string, Digest> present;
  for (auto& file : files) present.emplace(std::move(file.path), file.digest);
  Problems problems;
  for (const auto& file : signed_model.files) {
    const auto found = present.find(file.path);
    if (found == present.end()) {
      problems.push_back({"missing", file.path, "a signed file is not there"});
    } else if (found->second != file.digest) {
      problems.push_back({"changed", file.path, "the file is not the one that was signed"});
    }
    if (found != present.end()) present.erase(found);
  }
  for (const auto& [path, digest] : present) problems.push_back({"extra", path, "a file that was not signed"});
  return problems;
}

Result<std::vector<ModelResource>> hash_model_folder(const std::filesystem::path& folder) {
  std::vector<ModelResource> files;
  for (auto& path : TRY(list_files(folder))) {
    if (path == kModelSignatureName) continue;
    auto reader = TRY(FileReader::open(folder / path));
    const Digest digest = TRY(crypto::sha256_of(*reader));
    files.push_back({std::move(path), digest});
  }
  return files;
}

Result<Problems> verify_model_folder(const std::filesystem::path& folder, const crypto::PublicKey& key) {
  const auto bundle = TRY(read_text_file(folder / kModelSignatureName, kModelSignatureBytesMax));
  const auto model = TRY(verify_model_signature(bundle, key, (folder / kModelSignatureName).string()));
  return compare_model(model, TRY(hash_model_folder(folder)));
}

}  // namespace redoubt::attest
