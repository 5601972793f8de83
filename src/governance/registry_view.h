// SPDX-License-Identifier: Apache-2.0
//
// Keeps a ModelRegistry in step with the ledger, which alone decides: a register statement adds a version, a review approves,
// rejects or revokes it, a deployment marks it as deployed.
#pragma once

#include "attest/step_statement.h"
#include "ledger/evidence.h"
#include "provider/model_registry.h"

namespace redoubt::governance {

// What one step's record means for the registry. `deployed_before` is the version that the deployment takes the place of.
Result<provider::RegistryChange> change_of(std::uint64_t ledger_index, const Digest& statement, const attest::StepRecord& record);

// Applies every entry that the registry has not seen.
Status catch_up(ledger::EvidenceLog& evidence, provider::ModelRegistry& registry);

// Differences between the registry and a replay of the whole ledger, each "NAME/VERSION: what differs".
Result<std::vector<std::string>> compare_with_ledger(ledger::EvidenceLog& evidence, provider::ModelRegistry& registry,
                                                     provider::ModelRegistry& empty);

// The next semantic version after those that the registry holds of that name; "0.1.0" (or "1.0.0", "0.0.1") for the first.
std::string next_version(const std::vector<provider::ModelVersion>& versions, std::string_view name, std::string_view bump);

// "NAME/VERSION", both with the characters that the registry allows; invalid_argument otherwise.
struct VersionName {
  std::string name, version;
};
Result<VersionName> parse_version_name(std::string_view text);

}  // namespace redoubt::governance
