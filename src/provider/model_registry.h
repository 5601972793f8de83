// SPDX-License-Identifier: Apache-2.0
//
// Versions of models and their states. The ledger is the authority, a registry is its view: every change carries the ledger
// entry that caused it, is applied once, in order, and can be replayed into an empty registry.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace redoubt::provider {

enum class VersionState { pending_manual_approval, approved, rejected, revoked, deployed };

// "PendingManualApproval", "Approved", "Rejected", "Revoked", "Deployed".
const char* to_string(VersionState state);
Result<VersionState> parse_version_state(std::string_view text);

struct ModelVersion {
  std::string name;
  std::string version;  // semantic version, "1.2.0"
  std::string digest;   // "sha256:..." of the release's manifest
  VersionState state = VersionState::pending_manual_approval;
  Json metrics = Json::object();  // evaluation: eval_loss, perplexity, ...
  std::string created;            // RFC 3339 UTC
  std::string created_by;         // identity that ran the pipeline
  std::string statement;          // "sha256:..." of the register statement
  std::string reason;             // of the newest state, in a person's words or the gate's
};

struct StateChange {
  std::string name, version;
  VersionState state = VersionState::pending_manual_approval;
  std::string reason;
};

// One ledger entry as the registry sees it; most entries change nothing.
struct RegistryChange {
  std::uint64_t ledger_index = 0;
  std::vector<ModelVersion> added;
  std::vector<StateChange> states;
};

class ModelRegistry {
 public:
  virtual ~ModelRegistry() = default;
  // How many ledger entries are reflected: those with an index below it.
  virtual Result<std::uint64_t> entries_applied() = 0;
  // Applies changes in order, all or none, durably. One below `entries_applied` is left out; the state of an unknown version is
  // not_found, a version that is there already_exists.
  virtual Status apply(const std::vector<RegistryChange>& changes) = 0;
  virtual Result<ModelVersion> get(std::string_view name, std::string_view version) = 0;  // not_found
  virtual Result<std::vector<ModelVersion>> list() = 0;  // by name, then in the order of creation
};

}  // namespace redoubt::provider
