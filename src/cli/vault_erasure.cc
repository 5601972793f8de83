// SPDX-License-Identifier: Apache-2.0
//
// redoubt vault: erase, certificate. The order is what makes it safe to be killed: the ledger says that the key goes, the key goes, what it
// sealed is tried and does not open, the sealed bytes go, and the certificate says all of it.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/vault_work.h"
#include "crypto/hash.h"
#include "custody/certificate.h"

namespace redoubt::cli {
namespace {

using custody::OwnKey;
using custody::Place;
using governance::Permission;

constexpr std::size_t kSubjectsMax = 40;  // versions that the statement names; all stand in the list of objects

struct ErasureOptions {
  std::string name, reason, file;
  bool totp = false;
};

// The newest key of a name: the living one, or the one that was destroyed last.
const OwnKey* key_of(const custody::View& view, const std::string& name) {
  const OwnKey* found = nullptr;
  for (const auto& [id, key] : view.own_keys()) {
    if (key.name != name) continue;
    const bool newer = found == nullptr || !key.erasing || (found->erasing && key.erased.value_or(UINT64_MAX) > found->erased.value_or(UINT64_MAX));
    if (newer) found = &key;
  }
  return found;
}

std::vector<std::string> tombstones_of(const custody::View& view, const Place& place) {
  std::vector<std::string> keys;
  for (const auto& [key, stone] : view.tombstones()) {
    if (key.starts_with(place.prefix()) && stone.cause == "erase") keys.push_back(key);
  }
  return keys;
}

// The objects of a place in a store, as what is to be removed.
Result<custody::ObjectList> objects_in_place(provider::ObjectStore& store, const Place& place) {
  custody::ObjectList list;
  for (const auto& key : TRY(store.list(place.prefix()))) {
    const auto digest = TRY(Digest::parse(key.substr(key.rfind('/') + 1)));
    (key.find("/manifests/") != key.npos ? list.manifests : list.blobs).push_back(digest);
  }
  return list;
}

class Erasure {
 public:
  Erasure(VaultWork& work, OwnKey key) : work_(work), key_(std::move(key)), place_{key_.id} {}

  Status run() {
    TRY(destroy());
    for (const char* role : {custody::kObjects, custody::kArchive}) {
      if (role == std::string(custody::kArchive) && work_.rules.archive.empty()) continue;
      TRY(try_and_remove(role));
    }
    TRY(note_what_remains());
    return certify();
  }

 private:
  Status destroy() {
    const bool is_local = key_.uri.starts_with("own:");
    auto* keeper = TRY(work_.session->providers().keeper_of(key_.uri));
    auto destroyed = keeper->destroy_key(key_.uri);
    // One that is gone already was destroyed by the process that was killed.
    if (!destroyed && destroyed.error().code != ErrorCode::not_found) return destroyed;
    if (!is_local) {
      remains_.push_back(fmt::format("AWS KMS deletes the key for ever at {}; until then it refuses every use, and an administrator can cancel the deletion (CancelKeyDeletion)", to_rfc3339(work_.now() + std::chrono::days(7))));
      return {};
    }
    remains_.push_back("copies of own-keys.json that persons made of " + work_.session->workspace().credentials().string() + ", and what a disk keeps of files that were overwritten");
    const auto replica = replica_of(work_);
    const auto copied = replica && *replica != nullptr ? copy_own_keys(work_, **replica) : Result<bool>(true);
    if (!replica || !copied) remains_.push_back("the replica " + work_.rules.replica + " was away: its copy of the keyring holds the key until 'redoubt vault replicate' reaches it");
    return {};
  }

  Status try_and_remove(const std::string& role) {
    auto* store = TRY(work_.stores.objects(role));
    const auto list = TRY(objects_in_place(*store, place_));
    auto* artifacts = TRY(work_.stores.artifacts(role, place_));
    for (const auto& blob : list.blobs) TRY(expect_closed(artifacts->verify_blob(blob), blob));
    for (const auto& manifest : list.manifests) TRY(expect_closed(artifacts->verify(manifest), manifest));
    if (list.blobs.empty() && list.manifests.empty()) return {};
    return custody::remove_objects(work_.stores, place_, role, list, {{"action", "remove"}, {"cause", "erase"}});
  }

  Status expect_closed(const Status& opened, const Digest& digest) {
    ++tried_;
    // Refused by the key's keeper, or damaged before that; a store that does not answer is neither.
    const bool closed = !opened && (opened.error().where == key_.uri || opened.error().code == ErrorCode::tampered);
    if (!opened && !closed) return opened;
    if (opened) return fail(ErrorCode::internal, "an object still opens after its key was destroyed", place_.prefix() + digest.hex(), "nothing was removed and no certificate was made; look who else keeps the key");
    return {};
  }

  // The same contents under another key, and what the pipeline made of them.
  Status note_what_remains() {
    TRY(work_.refresh());
    objects_ = tombstones_of(work_.view, place_);
    std::set<std::string> blobs;
    for (const auto& key : objects_) blobs.insert(key.substr(place_.prefix().size()));
    for (const auto& key : TRY(work_.session->providers().first_objects().list("blobs/"))) {
      if (blobs.contains(key)) remains_.push_back("the same contents under the workspace's key: " + key);
    }
    for (const auto& entry : TRY(work_.session->evidence().of_step("data"))) {
      const auto record = TRY(attest::to_step_record(entry.statement));
      const auto file = record.inputs.find("file");
      if (file != record.inputs.end() && blobs.contains("blobs/" + file->second.hex())) remains_.push_back(fmt::format("rows that the step 'data' made of it (ledger entry {}), and what was trained on them", entry.index));
    }
    return {};
  }

  Status certify() {
    std::map<std::string, Digest> subjects = {{"objects", custody::digest_of_objects(objects_)}};
    Json versions = Json::array();
    for (const auto& version : work_.view.names().at(key_.name)) {
      if (version.place != place_ || version.fate != custody::VersionFate::kept || versions.size() == kSubjectsMax) continue;
      subjects[version.text()] = version.artifact;
      versions.push_back(version.text());
    }
    Json result = {{"name", key_.name}, {"key", key_.id}, {"uri", key_.uri}, {"versions", versions}, {"objects", objects_.size()}, {"unwrap", {{"tried", tried_}, {"refused", tried_}}}, {"remains", remains_}};
    for (const char* member : {"reason", "requested_by", "approved_by", "request", "second_factor"}) {
      if (key_.begun.contains(member)) result[member] = key_.begun[member];
    }
    TRY(work_.session->record_event(custody::kErasureStep, result, subjects));
    return work_.refresh();
  }

  VaultWork& work_;
  const OwnKey key_;
  const Place place_;
  std::vector<std::string> remains_, objects_;
  std::uint64_t tried_ = 0;
};

// The certificate out of the ledger: the request's entry where there was one, the decision's, the erasure's, and the objects that the ledger lists.
Result<custody::ErasureCertificate> certificate_of(VaultWork& work, const OwnKey& key) {
  auto& evidence = work.session->evidence();
  if (!key.erased) return fail(ErrorCode::not_found, "this name was not erased", key.name, "erase it: redoubt vault erase " + key.name);
  std::vector<std::uint64_t> entries;
  const std::string request = json_or(key.begun, "request", "");
  for (const auto& entry : TRY(evidence.of_step(custody::kVaultStep))) {
    const auto record = TRY(attest::to_step_record(entry.statement));
    if (!request.empty() && json_or(record.result, "action", "") == "request" && json_or(record.result, "request", "") == request) entries.push_back(entry.index);
  }
  entries.push_back(key.begun_entry);
  entries.push_back(*key.erased);
  custody::ErasureCertificate certificate;
  certificate.root = ledger::to_text(ledger::NoteKey{work.session->ledger_options().origin, work.session->ledger_key().public_key()});
  certificate.objects = tombstones_of(work.view, Place{key.id});
  const auto proofs = TRY(evidence.proofs(entries));
  std::set<std::string> signers;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    certificate.entries.push_back({to_text(TRY(evidence.entry(entries[i]))), ledger::to_text(proofs[i])});
    signers.insert(TRY(evidence.at(entries[i])).identity);
  }
  for (const auto& identity : work.session->workspace().identities().list()) {
    if (signers.contains(identity.name)) certificate.identities.emplace_back(identity.name, identity.key.to_pem());
  }
  return certificate;
}

Result<std::string> write_certificate(VaultWork& work, const OwnKey& key, const std::string& file) {
  const auto text = custody::encode_certificate(TRY(certificate_of(work, key)));
  if (!file.empty()) TRY(write_file(file, text, FileMode::readable_by_all));
  return text;
}

Status may_erase(VaultWork& work, const std::string& name) {
  const OwnKey* key = key_of(work.view, name);
  if (key == nullptr || key->erasing) return fail(ErrorCode::not_found, key == nullptr ? "no key seals this name alone" : "this name was erased already", name, key == nullptr ? "only what was put with --own-key is erased by destroying a key; delete it instead" : "see its certificate: redoubt vault certificate " + name);
  const auto versions = work.view.versions_of(custody::Target{name, 0, {}});
  return custody::may_delete(work.view, work.rules, custody::Needs(), versions, work.now());
}

Result<int> erase(Invocation& invocation, const ErasureOptions& options, const Output& output) {
  const auto target = TRY(custody::parse_target(options.name));
  if (target.name.empty() || target.number != 0) return fail(ErrorCode::invalid_argument, "not a name", options.name, "a key seals every version of a name: write the name alone");
  auto work = TRY(VaultWork::open(invocation, Permission::manage_data));
  TRY(may_erase(*work, target.name));
  TRY(check_factor(*work, options.totp));
  if (!options.totp) return ask_for_approval(*work, "erase", target, work->view.versions_of(target), options.reason, output);
  Json about = TRY(read_code(*work));
  about.update({{"reason", options.reason}, {"requested_by", work->session->identity()}});
  return carry_out_erasure(*work, target.name, about, options.file, output);
}

Result<int> certificate(Invocation& invocation, const ErasureOptions& options, const Output& output) {
  const auto work = TRY(VaultWork::look(invocation, Permission::read_audit));
  const OwnKey* key = key_of(work->view, options.name);
  if (key == nullptr) return fail(ErrorCode::not_found, "no key ever sealed this name alone", options.name, "see 'redoubt vault list --all'");
  const auto text = TRY(write_certificate(*work, *key, options.file));
  const std::string root = work->session->ledger_key().public_key().to_pem();
  output.result({{"file", options.file}, {"bytes", text.size()}, {"name", key->name}, {"key", key->id}, {"root", root}},
                fmt::format("{} ({} bytes)\nverify it anywhere: redoubt verify {}\nthe root to compare, given to the verifier another way:\n{}", options.file, text.size(), options.file, root));
  return 0;
}

}  // namespace

Status finish_erasures(VaultWork& work) {
  std::vector<OwnKey> begun;
  for (const auto& [id, key] : work.view.own_keys()) {
    if (key.erasing && !key.erased) begun.push_back(key);
  }
  for (const auto& key : begun) TRY(Erasure(work, key).run());
  return {};
}

Result<int> carry_out_erasure(VaultWork& work, const std::string& name, const Json& about, const std::string& file, const Output& output) {
  TRY(may_erase(work, name));
  const OwnKey key = *key_of(work.view, name);
  Json event = about;
  event.update({{"action", "erase"}, {"key", key.id}, {"name", name}});
  TRY(work.stores.record(event));
  TRY(work.refresh());
  TRY(finish_erasures(work));
  const OwnKey erased = work.view.own_keys().at(key.id);
  const auto text = TRY(write_certificate(work, erased, file));
  const auto report = custody::verify_certificate(text, work.session->ledger_key().public_key());
  if (!report.problems.empty()) return fail(ErrorCode::internal, "the certificate does not verify: " + report.problems.front().detail, report.problems.front().object);
  std::string remains;
  for (const auto& line : json_or(report.erasure, "remains", Json::array())) remains += "what remains: " + line.get<std::string>() + "\n";
  output.result({{"erased", name}, {"key", key.id}, {"uri", key.uri}, {"objects", report.objects.size()}, {"entry", *erased.erased}, {"certificate", file}, {"remains", json_or(report.erasure, "remains", Json::array())},
                 {"by", work.session->identity()}},
                fmt::format("{} is erased: the key {} is destroyed and {} objects open no more, here, in replicas and in backups\n{}{}", name, key.uri, report.objects.size(), remains,
                            file.empty() ? "its certificate: redoubt vault certificate " + name + " -o FILE" : file + ": verify it anywhere with 'redoubt verify'"));
  return 0;
}

void add_vault_erasure_commands(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<ErasureOptions>();
  CLI::App* erase_command = add_command(group, invocation, "erase", "Destroys the key of a name that was put with --own-key, so that no copy of it opens again anywhere; with a code or another person's approval",
                                        [&invocation, options](const Output& output) { return erase(invocation, *options, output); });
  erase_command->add_option("name", options->name, "the name")->required();
  erase_command->add_option("--reason", options->reason, "why, for the auditor")->required();
  erase_command->add_flag("--totp", options->totp, "with a one-time code, read from stdin or the terminal");
  erase_command->add_option("-o,--output", options->file, "write the certificate there, where it is carried out at once");
  CLI::App* certificate_command = add_command(group, invocation, "certificate", "The certificate of an erasure, for 'redoubt verify' anywhere",
                                              [&invocation, options](const Output& output) { return certificate(invocation, *options, output); });
  certificate_command->add_option("name", options->name, "the name")->required();
  certificate_command->add_option("-o,--output", options->file, "the file")->required();
}

}  // namespace redoubt::cli
