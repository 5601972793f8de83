// SPDX-License-Identifier: Apache-2.0
#include "cli/vault_data.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/vault_work.h"
#include "governance/chain.h"

namespace redoubt::cli {
namespace {

constexpr std::string_view kScheme = "vault:";
constexpr const char* kHowToName = "write vault:NAME or vault:NAME@VERSION, with #FILE behind it for one of several files";

Result<vault::ArtifactFile> choose_file(const vault::Manifest& manifest, const std::string& wanted, const std::string& text) {
  std::string names;
  for (const auto& file : manifest.files) {
    if (file.path == wanted) return file;
    if (names.size() < 200) names += (names.empty() ? "" : ", ") + file.path;
  }
  if (wanted.empty() && manifest.files.size() == 1) return manifest.files.front();
  return fail(wanted.empty() ? ErrorCode::invalid_argument : ErrorCode::not_found, (wanted.empty() ? "the version has several files: " : "the version has no such file; it has: ") + names, text, kHowToName);
}

}  // namespace

Json VaultData::to_json() const {
  return {{"name", version.name}, {"version", version.number}, {"artifact", version.artifact.tagged()}, {"file", file.path}, {"sha256", file.sha256.tagged()}, {"held", held.empty() ? Json() : Json(held)}};
}

bool names_vault_data(const std::string& text) { return text.starts_with(kScheme); }

Result<VaultData> find_vault_data(Session& session, const std::string& text) {
  const std::string named = text.substr(kScheme.size(), text.find('#') - std::min(text.find('#'), kScheme.size()));
  const std::string wanted = text.find('#') == text.npos ? "" : text.substr(text.find('#') + 1);
  auto target = custody::parse_target(named);
  if (!target || target->name.empty()) return fail(ErrorCode::invalid_argument, "not a name of the vault", text, kHowToName);
  const auto view = TRY(session.custody());
  VaultData data;
  data.version = TRY(view.find(*target));
  if (data.version.fate != custody::VersionFate::kept) return fail(ErrorCode::not_found, fmt::format("this version was {}", to_string(data.version.fate)), text, "see 'redoubt vault show " + data.version.name + "'");
  data.held = view.held(data.version);
  auto* store = TRY(artifacts_of(session, view, data.version.place));
  data.file = TRY(choose_file(TRY(store->manifest(data.version.artifact)), wanted, text));
  data.open = [store, digest = data.file.sha256] { return store->open_blob(digest); };
  return data;
}

Result<Json> uses_of(Session& session, const Digest& artifact) {
  Json uses = Json::array();
  for (const auto& entry : TRY(session.evidence().of_step(governance::DataStep::kName))) {
    const auto record = TRY(attest::to_step_record(entry.statement));
    const auto used = record.inputs.find("vault");
    if (used == record.inputs.end() || used->second != artifact) continue;
    uses.push_back({{"entry", entry.index}, {"step", record.step}, {"by", record.identity}, {"at", to_rfc3339(record.finished)}});
  }
  return uses;
}

}  // namespace redoubt::cli
