// SPDX-License-Identifier: Apache-2.0
#include "governance/state_change.h"

#include <fmt/format.h>

#include "vault/rewrap.h"

namespace redoubt::governance {
namespace fs = std::filesystem;
namespace {

constexpr const char* kIntent = "intent";
constexpr std::uint64_t kStateFileBytesMax = 32 << 20;

struct RecordedFile {
  std::uint64_t index = 0;
  std::string digest;
};
using RecordedState = std::map<std::string, RecordedFile>;

struct Intent {
  std::uint64_t size = 0;
  std::map<std::string, std::string> files;
};

Result<RecordedState> recorded_state(ledger::EvidenceLog& evidence) {
  RecordedState recorded;
  for (const char* step : {"secret", "key", "vault"}) {
    for (const auto& entry : TRY(evidence.of_step(step))) {
      const auto record = TRY(attest::to_step_record(entry.statement));
      const auto state = record.result.find("state");
      if (state == record.result.end() || !state->is_object()) continue;
      for (const auto& [path, digest] : state->items()) {
        auto& newest = recorded[path];
        if (entry.index >= newest.index && digest.is_string()) newest = {entry.index, digest.get<std::string>()};
      }
    }
  }
  return recorded;
}

std::string digest_on_disk(const Workspace& workspace, const std::string& path) {
  const auto bytes = read_file(workspace.layout().root / path, kStateFileBytesMax);
  if (!bytes) return bytes.error().code == ErrorCode::not_found ? "" : "unreadable";
  const auto digest = vault::sealed_digest(*bytes);
  return digest ? digest->hex() : "no sealed file";
}

vault::SealedFile intent_file(Workspace& workspace) {
  return {workspace.layout().state() / kIntent, workspace.sealing_key(), {{"workspace", workspace.id()}, {"kind", "state"}, {"name", kIntent}}};
}

Result<Intent> read_intent(Workspace& workspace) {
  const auto file = intent_file(workspace);
  if (!file.exists()) return Intent{};
  const Json json = TRY(file.read_json());
  Intent intent;
  intent.size = static_cast<std::uint64_t>(TRY(json_integer(json, "size", "state/intent")));
  const Json files = TRY(json_object(json, "files", "state/intent"));
  for (const auto& [path, digest] : files.items()) {
    if (digest.is_string()) intent.files[path] = digest.get<std::string>();
  }
  return intent;
}

// A change noted before the ledger recorded the file's newest contents is over; putting its note back changes nothing.
bool is_open(const Intent& intent, const std::string& path, const RecordedState& recorded) {
  const auto newest = recorded.find(path);
  return intent.files.contains(path) && (newest == recorded.end() || newest->second.index < intent.size);
}

}  // namespace

Result<std::unique_ptr<StateChange>> StateChange::begin(Workspace& workspace, ledger::EvidenceLog& evidence) {
  auto lock = TRY(FileLock::acquire(workspace.layout().root / "state.lock"));
  const std::uint64_t size = TRY(evidence.checkpoint()).head.size;
  std::unique_ptr<StateChange> change(new StateChange(workspace, std::move(lock), size));
  TRY(change->take_over(evidence));
  workspace.before_write([self = change.get()](const fs::path& path, ByteView sealed) { return self->note(path, sealed); });
  return change;
}

StateChange::~StateChange() { workspace_.before_write({}); }

Status StateChange::take_over(ledger::EvidenceLog& evidence) {
  const Intent intent = TRY(read_intent(workspace_));
  if (intent.files.empty()) return {};
  const auto recorded = TRY(recorded_state(evidence));
  for (const auto& [path, digest] : intent.files) {
    if (is_open(intent, path, recorded) && digest_on_disk(workspace_, path) == digest) files_[path] = digest;
  }
  return {};
}

Status StateChange::note(const fs::path& path, ByteView sealed) {
  const std::string name = path.lexically_relative(workspace_.layout().root).generic_string();
  files_[name] = sealed.empty() ? "" : TRY(vault::sealed_digest(sealed)).hex();
  return intent_file(workspace_).write_json({{"size", size_}, {"files", files_}});
}

Json StateChange::with_state(Json result) const {
  if (!files_.empty()) result["state"] = files_;
  return result;
}

Status StateChange::done() {
  std::error_code error;
  fs::remove(workspace_.layout().state() / kIntent, error);
  if (error) return fail_errno(error.value(), "remove", (workspace_.layout().state() / kIntent).string());
  files_.clear();
  return {};
}

Result<Problems> check_state(Workspace& workspace, ledger::EvidenceLog& evidence) {
  Problems problems;
  const auto recorded = TRY(recorded_state(evidence));
  const Intent intent = TRY(read_intent(workspace));
  for (const auto& [path, newest] : recorded) {
    const std::string actual = digest_on_disk(workspace, path);
    if (actual == newest.digest || (is_open(intent, path, recorded) && intent.files.at(path) == actual)) continue;
    const std::string what = actual.empty() ? "was removed" : newest.digest.empty() ? "was deleted, and is there again" : "is not the one that was written last: an older one was put back";
    problems.push_back({"state", path, fmt::format("{} (ledger entry {})", what, newest.index)});
  }
  std::int64_t version = 0;
  for (const auto& entry : TRY(evidence.of_step("keys"))) {
    version = std::max(version, json_integer(TRY(attest::to_step_record(entry.statement)).result, "version", "ledger").value_or(0));
  }
  if (static_cast<std::int64_t>(TRY(workspace.kms().versions())["default"]) < version) {
    problems.push_back({"keyring", "keyring.json", fmt::format("an older one was put back: the ledger has seen version {} of its key", version)});
  }
  return problems;
}

}  // namespace redoubt::governance
