// SPDX-License-Identifier: Apache-2.0
#include "governance/registry_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "governance/chain.h"

namespace redoubt::governance {
namespace {

using provider::ModelVersion;
using provider::RegistryChange;
using provider::VersionState;

constexpr std::size_t kEntriesUnnotedMax = 1000;

Result<ModelVersion> version_of(const Digest& statement, const attest::StepRecord& record) {
  ModelVersion version;
  version.name = TRY(json_string(record.result, "name", "register statement"));
  version.version = TRY(json_string(record.result, "version", "register statement"));
  version.state = TRY(provider::parse_version_state(TRY(json_string(record.result, "state", "register statement"))));
  version.metrics = TRY(json_object(record.result, "metrics", "register statement"));
  version.reason = TRY(json_string(record.result, "reason", "register statement"));
  const auto release = record.outputs.find("release");
  if (release == record.outputs.end()) return fail(ErrorCode::invalid_argument, "a register statement without a release");
  version.digest = release->second.tagged();
  version.created = to_rfc3339(record.finished);
  version.created_by = record.identity;
  version.statement = statement.tagged();
  return version;
}

Result<provider::StateChange> review_of(const attest::StepRecord& record) {
  provider::StateChange change;
  change.name = TRY(json_string(record.result, "name", "review statement"));
  change.version = TRY(json_string(record.result, "version", "review statement"));
  change.reason = TRY(json_string(record.result, "reason", "review statement"));
  const std::string decision = TRY(json_string(record.result, "decision", "review statement"));
  if (decision == "approve") {
    change.state = VersionState::approved;
  } else if (decision == "reject") {
    change.state = VersionState::rejected;
  } else if (decision == "revoke") {
    change.state = VersionState::revoked;
  } else {
    return fail(ErrorCode::invalid_argument, "a review statement with the decision '" + decision + "'");
  }
  return change;
}

Result<std::vector<provider::StateChange>> deployment_of(const attest::StepRecord& record) {
  std::vector<provider::StateChange> changes;
  const std::string name = TRY(json_string(record.result, "name", "deploy statement"));
  const std::string environment = TRY(json_string(record.result, "environment", "deploy statement"));
  // The version that was there before goes back to Approved, unless it was revoked, which the deploying step records as "".
  const std::string previous = json_or(record.result, "previous", "");
  if (!previous.empty()) changes.push_back({name, previous, VersionState::approved, "replaced in " + environment});
  const std::string version = json_or(record.result, "version", "");
  if (!version.empty()) changes.push_back({name, version, VersionState::deployed, "deployed to " + environment});
  return changes;
}

// Which versions stand and which do not, once a rollout was decided; the recording command names none that was revoked.
Result<std::vector<provider::StateChange>> rollout_of(const attest::StepRecord& record) {
  std::vector<provider::StateChange> changes;
  const std::string name = TRY(json_string(record.result, "name", "rollout event"));
  const std::string environment = TRY(json_string(record.result, "environment", "rollout event"));
  if (const auto left = json_or(record.result, "left", ""); !left.empty()) changes.push_back({name, left, VersionState::approved, "left in " + environment});
  if (const auto stands = json_or(record.result, "stands", ""); !stands.empty()) changes.push_back({name, stands, VersionState::deployed, "deployed to " + environment});
  return changes;
}

std::string describe(const ModelVersion& version) {
  return fmt::format("{} {} {} {} {} {}", version.digest, to_string(version.state), version.created, version.created_by, version.statement,
                     dump_json(version.metrics));
}

}  // namespace

Result<RegistryChange> change_of(std::uint64_t ledger_index, const Digest& statement, const attest::StepRecord& record) {
  RegistryChange change{ledger_index, {}, {}};
  if (record.step == RegisterStep::kName) change.added.push_back(TRY(version_of(statement, record)));
  if (record.step == ReviewStep::kName) change.states.push_back(TRY(review_of(record)));
  if (record.step == DeployStep::kName) change.states = TRY(deployment_of(record));
  if (record.step == kRolloutEvent) change.states = TRY(rollout_of(record));
  return change;
}

Status catch_up(ledger::EvidenceLog& evidence, provider::ModelRegistry& registry) {
  const std::uint64_t applied = TRY(registry.entries_applied());
  std::vector<RegistryChange> changes;
  const std::uint64_t size = TRY(evidence.checkpoint()).head.size;
  for (std::uint64_t index = applied; index < size; ++index) {
    const auto entry = TRY(evidence.at(index));
    changes.push_back(TRY(change_of(index, entry.digest, TRY(attest::to_step_record(entry.statement)))));
  }
  // How far the ledger was read is worth a note where versions changed, or where it spares the next reader much: who only reads a
  // registry needs no right to write to it.
  const bool changes_versions = std::any_of(changes.begin(), changes.end(), [](const auto& change) { return !change.added.empty() || !change.states.empty(); });
  if (!changes_versions && changes.size() < kEntriesUnnotedMax) return {};
  auto done = registry.apply(changes);
  if (!done && !changes_versions && done.error().code == ErrorCode::permission_denied) return {};
  return done;
}

Result<std::vector<std::string>> compare_with_ledger(ledger::EvidenceLog& evidence, provider::ModelRegistry& registry,
                                                     provider::ModelRegistry& empty) {
  TRY(catch_up(evidence, empty));
  const auto expected = TRY(empty.list()), actual = TRY(registry.list());
  std::vector<std::string> differences;
  const auto find = [](const std::vector<ModelVersion>& in, const ModelVersion& wanted) {
    return std::find_if(in.begin(), in.end(), [&](const auto& v) { return v.name == wanted.name && v.version == wanted.version; });
  };
  for (const auto& version : expected) {
    const auto found = find(actual, version);
    if (found == actual.end()) {
      differences.push_back(version.name + "/" + version.version + ": missing from the registry");
    } else if (describe(*found) != describe(version)) {
      differences.push_back(version.name + "/" + version.version + ": the registry differs from the ledger");
    }
  }
  for (const auto& version : actual) {
    if (find(expected, version) == expected.end()) differences.push_back(version.name + "/" + version.version + ": not in the ledger");
  }
  return differences;
}

std::string next_version(const std::vector<ModelVersion>& versions, std::string_view name, std::string_view bump) {
  std::array<int, 3> newest{0, 0, 0};
  for (const auto& version : versions) {
    if (version.name != name) continue;
    std::array<int, 3> parts{};
    const char* at = version.version.data();
    const char* end = at + version.version.size();
    for (int& part : parts) {
      at = std::from_chars(at, end, part).ptr;
      if (at < end) ++at;
    }
    newest = std::max(newest, parts);
  }
  const std::size_t which = bump == "major" ? 0 : bump == "minor" ? 1 : 2;
  ++newest[which];
  std::fill(newest.begin() + static_cast<std::ptrdiff_t>(which) + 1, newest.end(), 0);
  return fmt::format("{}.{}.{}", newest[0], newest[1], newest[2]);
}

Result<VersionName> parse_version_name(std::string_view text) {
  const auto slash = text.find('/');
  const auto fits = [](std::string_view part) {
    return !part.empty() && part.size() <= 64 && part.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-") == part.npos;
  };
  if (slash == text.npos || !fits(text.substr(0, slash)) || !fits(text.substr(slash + 1))) {
    return fail(ErrorCode::invalid_argument, "not the name of a version", std::string(text), "write NAME/VERSION, such as command-assistant/0.1.0");
  }
  return VersionName{std::string(text.substr(0, slash)), std::string(text.substr(slash + 1))};
}

}  // namespace redoubt::governance
