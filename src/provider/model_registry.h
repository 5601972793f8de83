// SPDX-License-Identifier: Apache-2.0
//
// Versions of models and their states. The ledger is the authority, a registry is its view: every change carries the ledger
// entry that caused it, is applied once, in order, and can be replayed into an empty registry.
#pragma once

#include <cstdint>
#include <map>
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

// A state that somebody gave a version past the ledger: in the registry's own console, or with another tool.
struct OutsideDecision {
  std::string name, version, digest;
  VersionState ledger_state = VersionState::pending_manual_approval;
  VersionState outside_state = VersionState::pending_manual_approval;  // pending, approved or rejected
  std::string principal;  // who, as the registry names it, or "unknown"
  std::string changed;    // RFC 3339 UTC; empty where the registry doesn't say
  std::string reason;     // in that person's words
  std::string where;      // what the registry calls the version
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

  // For registries that others can reach. What was decided there is never believed: it counts once a reviewer has signed it.
  virtual Result<std::vector<OutsideDecision>> outside_decisions() { return std::vector<OutsideDecision>(); }
  // Puts a version's state back to what the ledger says.
  virtual Status restore(std::string_view, std::string_view) { return {}; }
  // Whether `describe` shows anything.
  virtual bool describes() const { return false; }
  // A version's model card (card.json) and what it was made of (name -> "sha256:..."), for who looks there. Told again, nothing
  // stands there twice.
  virtual Status describe(const ModelVersion&, const Json&, const std::map<std::string, std::string>&) { return {}; }
};

}  // namespace redoubt::provider
