// SPDX-License-Identifier: Apache-2.0
//
// From the outside in: the form, the root's signatures (summary and checkpoint), then every statement's signature and proof,
// the chain they form, the artifacts they name, and the model's signature.
#include <fmt/format.h>

#include <algorithm>

#include "attest/model_signature.h"
#include "crypto/hash.h"
#include "ledger/release_format.h"

namespace redoubt::ledger {
namespace {


using ArtifactName = std::pair<std::string, std::string>;  // step, output

// The files that a manifest of the vault names (docs/formats/artifact.md), as far as a release asks for them.
Result<std::map<std::string, Digest>> manifest_files(std::string_view manifest) {
  std::map<std::string, Digest> files;
  const auto json = TRY(parse_json(manifest, "manifest"));
  for (const auto& file : TRY(json_array(json, "files", "manifest"))) {
    files.emplace(TRY(json_string(file, "path", "manifest")),
                  TRY(Digest::parse(TRY(json_string(file, "sha256", "manifest")))));
  }
  return files;
}

class ReleaseVerification {
 public:
  ReleaseVerification(std::string_view text, const std::optional<crypto::PublicKey>& root) : text_(text), pinned_(root) {}

  ReleaseReport run() {
    auto bundle = parse_release_bundle(text_);
    if (!bundle) {
      add("bundle", kReleaseWhere, bundle.error().message);
      return std::move(report_);
    }
    bundle_ = std::move(*bundle);
    if (read_root() && read_signed_summary()) {
      read_tree_head();
      for (const auto& statement : bundle_.statements) read_statement(statement);
      auto chain = check_release_chain(report_.steps, summary_.identities);
      report_.problems.insert(report_.problems.end(), chain.begin(), chain.end());
      check_name();
      for (const auto& artifact : bundle_.artifacts) check_artifact(artifact);
      check_required();
      check_release();
      check_model_signature();
    }
    return std::move(report_);
  }

 private:
  void add(std::string kind, std::string object, std::string detail) {
    report_.problems.push_back({std::move(kind), std::move(object), std::move(detail)});
  }
  bool add(std::string kind, const Error& error) {
    add(std::move(kind), error.where, error.message);
    return false;
  }

  bool read_root() {
    auto key = parse_note_key(bundle_.root);
    if (!key) return add("root", key.error());
    root_ = std::move(*key);
    report_.root = bundle_.root;
    report_.root_known = pinned_.has_value();
    if (!pinned_ || pinned_->key_id() == root_->key.key_id()) return true;
    add("root", bundle_.root, "the bundle is of another ledger than the one whose public key was given");
    return false;
  }

  bool read_signed_summary() {
    const auto trusted = [&](std::string_view key_id) -> std::optional<attest::TrustedKey> {
      if (key_id != root_->key.key_id()) return std::nullopt;
      return attest::TrustedKey{root_->key, "the ledger's key"};
    };
    const auto verified = attest::verify_statement(bundle_.summary, trusted, "summary");
    if (!verified) return add("signature", verified.error());
    auto summary = read_summary(verified->statement, bundle_, report_.problems);
    if (!summary) return add("contents", summary.error());
    summary_ = std::move(*summary);
    report_.name = summary_.name;
    report_.version = summary_.version;
    return true;
  }

  void read_tree_head() {
    auto checkpoint = open_checkpoint(bundle_.checkpoint, *root_, "checkpoint");
    if (!checkpoint) add("checkpoint", checkpoint.error());
    if (checkpoint) head_ = checkpoint->head;
  }

  std::optional<attest::TrustedKey> trusted_key(std::string_view key_id) const {
    for (const auto& identity : summary_.identities) {
      for (const auto& key : identity.keys) {
        if (key.key_id() == key_id) return attest::TrustedKey{key, identity.name};
      }
    }
    return std::nullopt;
  }

  void read_statement(const BundledStatement& bundled) {
    const auto where = fmt::format("statement {}", bundled.index);
    if (head_ && !verify_inclusion(leaf_hash(view_of(bundled.envelope)), bundled.index, *head_, bundled.proof)) {
      add("proof", where, "the proof does not show that the statement stands in the ledger");
    }
    const auto verified = attest::verify_statement(
        bundled.envelope, [this](std::string_view id) { return trusted_key(id); }, where);
    if (!verified) return void(add("signature", verified.error()));
    auto record = attest::to_step_record(verified->statement);
    if (!record) return add("signature", where, record.error().message);
    if (record->identity != verified->identity) {
      add("signature", where,
          fmt::format("names the identity '{}' and is signed by '{}'", record->identity, verified->identity));
    }
    report_.steps.push_back({bundled.index, verified->digest, std::move(*record)});
  }

  // What training gave: an adapter or a whole model.
  ArtifactName trained() const {
    const auto* train = step("train");
    return {"train", train == nullptr ? "adapter" : attest::trained_weights(*train).output};
  }

  const attest::StepRecord* step(const std::string& name) const {
    const auto found = std::find_if(report_.steps.begin(), report_.steps.end(),
                                    [&](const ReleaseStep& each) { return each.record.step == name; });
    return found == report_.steps.end() ? nullptr : &found->record;
  }

  void check_name() {
    const auto* registered = step("register");
    if (registered == nullptr) return;  // named by the chain
    if (json_or(registered->result, "name", Json()) != summary_.name ||
        json_or(registered->result, "version", Json()) != summary_.version) {
      add("contents", "name", "the bundle names another version than its register statement");
    }
  }

  static std::string name_of(const ArtifactName& name) { return name.first + "/" + name.second; }

  void check_artifact(const ReleaseArtifact& artifact) {
    const ArtifactName name{artifact.step, artifact.output};
    const auto* record = step(artifact.step);
    const auto output =
        record == nullptr ? std::map<std::string, Digest>::const_iterator() : record->outputs.find(artifact.output);
    if (record == nullptr || output == record->outputs.end()) {
      return add("artifact", name_of(name), "no statement of the release has this output");
    }
    if (artifact.manifest.empty()) return check_blob(artifact, output->second);
    if (crypto::sha256(artifact.manifest) != output->second) {
      return add("artifact", name_of(name), "the manifest is not the one that the step's statement names");
    }
    const auto files = manifest_files(artifact.manifest);
    if (!files) return add("artifact", name_of(name), files.error().message);
    for (const auto& [path, bytes] : artifact.files) {
      const auto listed = files->find(path);
      if (listed == files->end() || listed->second != crypto::sha256(bytes)) {
        add("artifact", name_of(name) + "/" + path, "the file is not the one that the artifact's manifest names");
      }
      report_.files.push_back(name_of(name) + "/" + path);
    }
    manifests_[name] = *files;
    contents_[name] = &artifact;
  }

  void check_blob(const ReleaseArtifact& artifact, const Digest& digest) {
    const ArtifactName name{artifact.step, artifact.output};
    const auto blob = artifact.files.find("");
    if (artifact.files.size() != 1 || blob == artifact.files.end() || crypto::sha256(blob->second) != digest) {
      return add("artifact", name_of(name), "the file is not the one that the step's statement names");
    }
    report_.files.push_back(name_of(name));
    contents_[name] = &artifact;
  }

  void check_required() {
    for (const ArtifactName& name : {ArtifactName{"acquire", "model"},
                                     trained(),
                                     {"register", "release"},
                                     {"register", "card"},
                                     {"register", "signature"},
                                     {"image", "sbom"}}) {
      if (!contents_.contains(name)) add("artifact", name_of(name), "is not in the bundle, or does not verify");
    }
    for (const ArtifactName& name : {ArtifactName{"register", "card"}, {"register", "signature"}, {"image", "sbom"}}) {
      const auto manifest = manifests_.find(name);
      if (manifest == manifests_.end()) continue;
      for (const auto& [path, digest] : manifest->second) {
        if (!contents_[name]->files.contains(path))
          add("artifact", name_of(name) + "/" + path, "the file is missing in the bundle");
      }
    }
  }

  // The release is exactly the acquired model under base/ and the trained adapter under adapter/, or the trained model under base/.
  void check_release() {
    const bool is_adapter = trained() == ArtifactName{"train", "adapter"};
    const auto base = manifests_.find(is_adapter ? ArtifactName{"acquire", "model"} : trained()), tuned = manifests_.find(trained());
    const auto release = manifests_.find({"register", "release"});
    if (base == manifests_.end() || tuned == manifests_.end() || release == manifests_.end()) return;
    std::map<std::string, Digest> expected;
    for (const auto& [path, digest] : base->second) expected["base/" + path] = digest;
    if (is_adapter)
      for (const auto& [path, digest] : tuned->second) expected["adapter/" + path] = digest;
    if (expected != release->second) {
      add("chain", "register/release", is_adapter ? "the release's files are not those of the acquired model and the trained adapter" : "the release's files are not those of the trained model");
    }
  }

  void check_model_signature() {
    const auto signature = contents_.find({"register", "signature"});
    const auto release = manifests_.find({"register", "release"});
    if (signature == contents_.end() || release == manifests_.end()) return;
    const auto& files = signature->second->files;
    const auto bundle = files.find("model.sig"), public_key = files.find("model.pub");
    if (bundle == files.end() || public_key == files.end())
      return add("model-signature", "register/signature", "model.sig or model.pub is missing");
    const auto key = crypto::PublicKey::from_pem(text_of(public_key->second));
    if (!key) return void(add("model-signature", key.error()));
    const auto model = attest::verify_model_signature(text_of(bundle->second), *key, "register/signature/model.sig");
    if (!model) return void(add("model-signature", model.error()));
    std::vector<attest::ModelResource> present;
    for (const auto& [path, digest] : release->second) present.push_back({path, digest});
    for (const auto& problem : attest::compare_model(*model, std::move(present)))
      add("model-signature", problem.object, problem.detail);
  }

  std::string_view text_;
  const std::optional<crypto::PublicKey>& pinned_;
  ReleaseReport report_;
  ReleaseBundle bundle_;
  std::optional<NoteKey> root_;
  std::optional<TreeHead> head_;
  ReleaseSummary summary_;
  std::map<ArtifactName, std::map<std::string, Digest>> manifests_;
  std::map<ArtifactName, const ReleaseArtifact*> contents_;
};

}  // namespace

ReleaseReport verify_release_bundle(std::string_view bundle, const std::optional<crypto::PublicKey>& root) {
  return ReleaseVerification(bundle, root).run();
}

}  // namespace redoubt::ledger
