// SPDX-License-Identifier: Apache-2.0
#include "ledger/release_format.h"

#include <fmt/format.h>

#include "crypto/hash.h"

namespace redoubt::ledger {
namespace {

constexpr std::size_t kStatementsMax = 256, kArtifactsMax = 64, kFilesMax = 256, kIdentitiesMax = 256;

tl::unexpected<Error> refuse(std::string why) { return fail(ErrorCode::invalid_argument, std::move(why), kReleaseWhere); }

Json statement_json(const BundledStatement& statement) {
  Json proof = Json::array();
  for (const auto& hash : statement.proof) proof.push_back(to_base64(hash.bytes()));
  return {{"index", statement.index}, {"proof", std::move(proof)}, {"envelope", statement.envelope}};
}

Json artifact_json(const ReleaseArtifact& artifact) {
  Json files = Json::object();
  for (const auto& [path, bytes] : artifact.files) files[path] = to_base64(bytes);
  return {
      {"step", artifact.step}, {"output", artifact.output}, {"manifest", artifact.manifest}, {"files", std::move(files)}};
}

Result<BundledStatement> parse_statement_json(const Json& json) {
  const auto index = TRY(json_integer(json, "index", kReleaseWhere));
  if (index < 0) return refuse("a negative index");
  BundledStatement statement{static_cast<std::uint64_t>(index), {}, TRY(json_string(json, "envelope", kReleaseWhere))};
  const auto proof = TRY(json_array(json, "proof", kReleaseWhere));
  if (proof.size() > 64) return refuse("a proof that is too long");
  for (const auto& hash : proof) {
    const auto bytes = hash.is_string() ? from_base64(hash.get_ref<const std::string&>()) : Result<Bytes>(Bytes());
    if (!bytes || bytes->size() != 32) return refuse("a malformed hash in a proof");
    std::copy(bytes->begin(), bytes->end(), statement.proof.emplace_back().value.begin());
  }
  return statement;
}

Result<ReleaseArtifact> parse_artifact_json(const Json& json) {
  ReleaseArtifact artifact{TRY(json_string(json, "step", kReleaseWhere)),
                           TRY(json_string(json, "output", kReleaseWhere)),
                           TRY(json_string(json, "manifest", kReleaseWhere)),
                           {}};
  const auto files = TRY(json_object(json, "files", kReleaseWhere));
  if (files.size() > kFilesMax) return refuse("too many files in an artifact");
  for (const auto& [path, bytes] : files.items()) {
    if (!bytes.is_string()) return refuse("a file that is no base64 text");
    artifact.files.emplace(path, TRY(from_base64(bytes.get_ref<const std::string&>())));
  }
  return artifact;
}

Result<ReleaseIdentity> parse_identity(const Json& json) {
  ReleaseIdentity identity{TRY(json_string(json, "name", kReleaseWhere)), {}, {}};
  for (const auto& role : TRY(json_array(json, "roles", kReleaseWhere))) {
    if (!role.is_string()) return refuse("a role that is no text");
    identity.roles.push_back(role.get<std::string>());
  }
  for (const auto& key : TRY(json_array(json, "keys", kReleaseWhere))) {
    if (!key.is_string()) return refuse("a key that is no text");
    identity.keys.push_back(TRY(crypto::PublicKey::from_pem(key.get_ref<const std::string&>())));
  }
  return identity;
}

std::vector<attest::Subject> parts_of(const ReleaseBundle& bundle) {
  std::vector<attest::Subject> parts = {{"checkpoint", crypto::sha256(bundle.checkpoint)}};
  for (const auto& statement : bundle.statements) {
    parts.push_back({fmt::format("statement/{}", statement.index), crypto::sha256(dump_json(statement_json(statement)))});
  }
  for (const auto& artifact : bundle.artifacts) {
    parts.push_back(
        {fmt::format("artifact/{}/{}", artifact.step, artifact.output), crypto::sha256(dump_json(artifact_json(artifact)))});
  }
  return parts;
}

}  // namespace

std::string to_text(const ReleaseBundle& bundle) {
  Json statements = Json::array(), artifacts = Json::array();
  for (const auto& statement : bundle.statements) statements.push_back(statement_json(statement));
  for (const auto& artifact : bundle.artifacts) artifacts.push_back(artifact_json(artifact));
  return dump_json({{"format", kReleaseFormat},
                    {"version", kReleaseVersion},
                    {"root", bundle.root},
                    {"checkpoint", bundle.checkpoint},
                    {"summary", bundle.summary},
                    {"statements", std::move(statements)},
                    {"artifacts", std::move(artifacts)}}) +
         "\n";
}

Result<ReleaseBundle> parse_release_bundle(std::string_view text) {
  const auto json = TRY(parse_json(text, kReleaseWhere, {.bytes_max = kReleaseBundleBytesMax, .depth_max = 8}));
  if (TRY(json_string(json, "format", kReleaseWhere)) != kReleaseFormat) return refuse("not a release bundle");
  if (TRY(json_integer(json, "version", kReleaseWhere)) != kReleaseVersion) return refuse("a release bundle of an unknown version");
  ReleaseBundle bundle;
  bundle.root = TRY(json_string(json, "root", kReleaseWhere));
  bundle.checkpoint = TRY(json_string(json, "checkpoint", kReleaseWhere));
  bundle.summary = TRY(json_string(json, "summary", kReleaseWhere));
  const auto statements = TRY(json_array(json, "statements", kReleaseWhere));
  const auto artifacts = TRY(json_array(json, "artifacts", kReleaseWhere));
  if (statements.size() > kStatementsMax || artifacts.size() > kArtifactsMax) {
    return fail(ErrorCode::limit_exceeded, "too many statements or artifacts", kReleaseWhere);
  }
  for (const auto& statement : statements) bundle.statements.push_back(TRY(parse_statement_json(statement)));
  for (const auto& artifact : artifacts) bundle.artifacts.push_back(TRY(parse_artifact_json(artifact)));
  if (to_text(bundle) != text) return refuse("not the canonical form of a release bundle");
  return bundle;
}

attest::Statement summarise(const ReleaseBundle& bundle, const ReleaseContents& contents) {
  Json identities = Json::array();
  for (const auto& identity : contents.identities) {
    Json keys = Json::array();
    for (const auto& key : identity.keys) keys.push_back(key.to_pem());
    identities.push_back({{"name", identity.name}, {"roles", identity.roles}, {"keys", std::move(keys)}});
  }
  return {.subjects = parts_of(bundle),
          .predicate_type = attest::predicate_type_of("release-bundle"),
          .predicate = {{"name", contents.name},
                        {"version", contents.version},
                        {"created", to_rfc3339(contents.created)},
                        {"root", bundle.root},
                        {"identities", std::move(identities)}}};
}

Result<ReleaseSummary> read_summary(const attest::Statement& summary, const ReleaseBundle& bundle, Problems& problems) {
  const auto& predicate = summary.predicate;
  if (summary.predicate_type != attest::predicate_type_of("release-bundle")) return refuse("the summary is of another type");
  if (TRY(json_string(predicate, "root", kReleaseWhere)) != bundle.root) return refuse("the summary is of another ledger");
  ReleaseSummary read;
  read.name = TRY(json_string(predicate, "name", kReleaseWhere));
  read.version = TRY(json_string(predicate, "version", kReleaseWhere));
  const auto identities = TRY(json_array(predicate, "identities", kReleaseWhere));
  if (identities.size() > kIdentitiesMax) return refuse("too many identities");
  for (const auto& identity : identities) read.identities.push_back(TRY(parse_identity(identity)));

  std::map<std::string, Digest> listed;
  for (const auto& subject : summary.subjects) listed[subject.name] = subject.digest;
  for (const auto& part : parts_of(bundle)) {
    const auto found = listed.find(part.name);
    if (found == listed.end()) {
      problems.push_back({"contents", part.name, "a part that the bundle's summary does not list"});
    } else if (found->second != part.digest) {
      problems.push_back({"contents", part.name, "the part is not the one that the bundle's summary lists"});
    }
    if (found != listed.end()) listed.erase(found);
  }
  for (const auto& [name, digest] : listed)
    problems.push_back({"contents", name, "a part that the bundle's summary lists is missing"});
  return read;
}

}  // namespace redoubt::ledger
