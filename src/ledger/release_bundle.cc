// SPDX-License-Identifier: Apache-2.0
#include "ledger/release_bundle.h"

#include <algorithm>
#include <set>

#include "ledger/release_format.h"

namespace redoubt::ledger {
namespace {

// The statements that `record` names and that have not been collected yet.
Status collect_inputs(EvidenceLog& evidence, const attest::StepRecord& record, std::map<std::uint64_t, Evidence>& chain) {
  for (const auto& [name, digest] : record.inputs) {
    if (!name.starts_with("statement:")) continue;
    auto found = TRY(evidence.find(digest));
    const auto named = TRY(attest::to_step_record(found.statement));
    if (chain.emplace(found.index, std::move(found)).second) TRY(collect_inputs(evidence, named, chain));
  }
  return {};
}

// The statements of `step` that name one of `named` under `input`; their digests are added to the answer.
Result<std::set<Digest>> collect_users(EvidenceLog& evidence, const char* step, const std::string& input,
                                       const std::set<Digest>& named, std::map<std::uint64_t, Evidence>& chain) {
  std::set<Digest> users;
  for (auto& user : TRY(evidence.of_step(step))) {
    const auto record = TRY(attest::to_step_record(user.statement));
    const auto found = record.inputs.find(input);
    if (found == record.inputs.end() || !named.contains(found->second)) continue;
    users.insert(user.digest);
    chain.emplace(user.index, std::move(user));
  }
  return users;
}

}  // namespace

Result<std::vector<Evidence>> find_release(EvidenceLog& evidence, const std::string& name, const std::string& version) {
  std::map<std::uint64_t, Evidence> chain;
  for (auto& candidate : TRY(evidence.of_step("register"))) {
    const auto record = TRY(attest::to_step_record(candidate.statement));
    if (json_or(record.result, "name", Json()) != name || json_or(record.result, "version", Json()) != version) continue;
    const auto reviews = TRY(collect_users(evidence, "review", "statement:register", {candidate.digest}, chain));
    TRY(collect_users(evidence, "deploy", "statement:review", reviews, chain));
    TRY(collect_inputs(evidence, record, chain));
    chain.emplace(candidate.index, std::move(candidate));
    break;
  }
  if (chain.empty()) {
    return fail(ErrorCode::not_found, "no such version was registered", name + "/" + version,
                "list the versions with 'redoubt registry list'");
  }
  std::vector<Evidence> release;
  for (auto& [index, entry] : chain) release.push_back(std::move(entry));
  return release;
}

Result<std::string> make_release_bundle(EvidenceLog& evidence, const crypto::SigningKey& root,
                                        const ReleaseContents& contents) {
  if (contents.entries.empty()) return fail(ErrorCode::invalid_argument, "a release without statements", contents.name);
  auto entries = contents.entries;
  std::sort(entries.begin(), entries.end());
  const auto checkpoint_and_proofs = TRY(evidence.proofs(entries));
  ReleaseBundle bundle;
  bundle.root = to_text(NoteKey{TRY(evidence.checkpoint()).origin, root.public_key()});
  bundle.checkpoint = checkpoint_and_proofs.front().checkpoint;
  for (const auto& proof : checkpoint_and_proofs) {
    auto envelope = redoubt::to_text(TRY(evidence.entry(proof.index)));
    bundle.statements.push_back({proof.index, proof.hashes, std::move(envelope)});
  }
  bundle.artifacts = contents.artifacts;
  bundle.summary = attest::sign_statement(summarise(bundle, contents), root);
  auto text = to_text(bundle);
  if (text.size() > kReleaseBundleBytesMax) {
    return fail(ErrorCode::limit_exceeded, "the release bundle would be larger than 64 MiB",
                contents.name + "/" + contents.version);
  }
  return text;
}

Result<Bytes> release_file(std::string_view text, const std::string& path) {
  const auto bundle = TRY(parse_release_bundle(text));
  for (const auto& artifact : bundle.artifacts) {
    for (const auto& [file, bytes] : artifact.files) {
      const auto name = artifact.step + "/" + artifact.output + (file.empty() ? "" : "/" + file);
      if (name == path) return bytes;
    }
  }
  return fail(ErrorCode::not_found, "the bundle has no such file", path);
}

}  // namespace redoubt::ledger
