// SPDX-License-Identifier: Apache-2.0
#include "cli/vault_work.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "cli/prompt.h"

namespace redoubt::cli {

using governance::Permission;

Result<std::unique_ptr<VaultWork>> VaultWork::look(Invocation& invocation, Permission permission) {
  auto work = std::make_unique<VaultWork>();
  work->session = TRY(Session::open(invocation.global, Duty::operate));
  TRY(work->session->require(permission));
  TRY(work->refresh());
  return work;
}

Result<std::unique_ptr<VaultWork>> VaultWork::open(Invocation& invocation, Permission permission) {
  auto work = TRY(look(invocation, permission));
  work->lock = TRY(work->session->workspace().lock());
  TRY(work->refresh());
  TRY(custody::check_clock(work->view, work->now()));
  if (!work->view.unfinished().empty()) {
    TRY(custody::finish(work->stores, work->view));
    TRY(work->refresh());
  }
  TRY(finish_erasures(*work));
  return work;
}

Status VaultWork::refresh() {
  view = TRY(session->custody());
  rules = TRY(custody::Rules::of(view));
  stores = TRY(session->stores());
  return {};
}

Result<custody::Needs> VaultWork::needs() { return custody::Needs::of_releases(session->evidence(), *TRY(session->registry())); }

Result<vault::ArtifactStore*> VaultWork::artifacts(const custody::Place& place) { return artifacts_of(*session, view, place); }

Result<vault::ArtifactStore*> artifacts_of(Session& session, const custody::View& view, const custody::Place& place) {
  if (place.own_key.empty()) return &session.store();
  const auto key = view.own_keys().find(place.own_key);
  if (key == view.own_keys().end()) return fail(ErrorCode::not_found, "the ledger knows no such key", place.own_key);
  return session.providers().artifacts_in(session.objects(), place.prefix(), key->second.uri);
}

Result<std::vector<custody::NamedVersion>> VaultWork::versions(const custody::Target& target) {
  auto found = view.versions_of(target);
  if (!found.empty()) return found;
  if (target.name.empty()) {
    for (auto& artifact : TRY(custody::unnamed_artifacts(stores, view))) {
      if (artifact.artifact == target.artifact) found.push_back(std::move(artifact));
    }
  } else {
    const auto version = TRY(view.find(target));  // says what is wrong
    if (version.fate != custody::VersionFate::kept) return fail(ErrorCode::not_found, fmt::format("this version was {}", to_string(version.fate)), version.text(), "see 'redoubt vault show " + version.name + "'");
  }
  if (found.empty()) return fail(ErrorCode::not_found, "the vault keeps nothing of that name", target.text(), "see 'redoubt vault list'");
  return found;
}

Result<provider::ObjectStore*> replica_of(VaultWork& work) {
  if (work.rules.replica.empty()) return nullptr;
  return work.session->providers().store_at(work.rules.replica);
}

Result<bool> copy_own_keys(VaultWork& work, provider::ObjectStore& replica) {
  const auto file = work.session->workspace().own_keyring();
  if (!is_there(file)) return false;
  const Bytes keyring = TRY(read_file(file, 16 << 20));
  if (const auto there = replica.open(kOwnKeysObject)) {
    RandomAccessSource source(**there);
    if (TRY(read_all(source, 16 << 20)) == keyring) return true;
  }
  MemorySource source(keyring);
  TRY(replica.put(kOwnKeysObject, source, provider::PutMode::replace));
  return true;
}

Status check_factor(const VaultWork& work, bool by_code) {
  if (by_code && work.rules.deletion == custody::SecondFactor::person) return fail(ErrorCode::gate_refused, "the policy asks for another person, not for a code", "policy: vault.deletion.second_factor", "leave out --totp");
  if (!by_code && work.rules.deletion == custody::SecondFactor::totp) {
    return fail(ErrorCode::permission_denied, "the policy asks for a one-time code", "policy: vault.deletion.second_factor", "say --totp, and enrol first: redoubt vault totp enrol");
  }
  return {};
}

Result<Json> read_code(VaultWork& work) {
  const auto& identity = work.session->identity();
  TRY(custody::check_attempts(work.view, identity, work.now()));
  const Json state = TRY(TRY(work.session->workspace().state_file("totp-" + identity)).read_json());
  const Secret secret(TRY(from_base64(TRY(json_string(state, "secret", "state/totp-" + identity)))));
  const Secret code = TRY(read_secret("one-time code of " + identity));
  const auto verdict = custody::judge_code(work.view, identity, secret, text_of(code.reveal(SecretAccess::for_crypto())), work.now());
  if (verdict.counter) return Json{{"totp_counter", *verdict.counter}, {"second_factor", "totp"}};
  if (verdict.recount) TRY(work.stores.record({{"action", "totp-refused"}}));
  return fail(verdict.refused);
}

Result<int> ask_for_approval(VaultWork& work, const char* operation, const custody::Target& target, const std::vector<custody::NamedVersion>& versions, const std::string& reason, const Output& output) {
  std::set<std::string> artifacts;
  for (const auto& version : versions) artifacts.insert(version.artifact.tagged());
  const std::string id = work.view.next_id("request"), expires = to_rfc3339(work.now() + work.rules.request_lasts);
  TRY(work.stores.record({{"action", "request"}, {"request", id}, {"operation", operation}, {"target", target.text()}, {"artifacts", artifacts}, {"reason", reason}, {"expires", expires}}));
  output.result({{"request", id}, {"operation", operation}, {"target", target.text()}, {"state", "open"}, {"requested_by", work.session->identity()}, {"expires", expires}},
                fmt::format("{} waits for another person until {}\nnext: redoubt --as reviewer vault approve {}", id, expires, id));
  return exit_code_of(ErrorCode::waiting);
}

Result<int> carry_out_deletion(VaultWork& work, const custody::Target& target, const std::vector<custody::NamedVersion>& versions, const Json& about, const Output& output) {
  const auto needs = TRY(work.needs());
  TRY(custody::may_delete(work.view, work.rules, needs, versions, work.now()));
  const auto done = TRY(custody::delete_versions(work.stores, work.view, needs, versions, "delete", about));
  output.result({{"deleted", target.text()}, {"versions", done.versions}, {"objects", done.objects}, {"shared", done.shared}, {"by", work.session->identity()}},
                fmt::format("{} is deleted: {} versions, {} objects{}", target.text(), done.versions, done.objects, done.shared == 0 ? "" : fmt::format("; {} files stay, others need them", done.shared)));
  return 0;
}

Json to_json(const custody::NamedVersion& version) {
  Json json = {{"name", version.name},   {"version", version.number}, {"digest", version.artifact.tagged()}, {"kind", version.kind},
               {"files", version.files}, {"bytes", version.bytes},    {"created", to_rfc3339(version.made)}, {"created_by", version.by},
               {"note", version.note},   {"state", to_string(version.fate)}, {"own_key", version.place.own_key.empty() ? Json() : Json(version.place.own_key)}, {"entry", version.entry}};
  if (version.restored_from > 0) json["restored_from"] = version.restored_from;
  return json;
}

}  // namespace redoubt::cli
