// SPDX-License-Identifier: Apache-2.0
//
// What the commands of `redoubt vault` share: a session that holds the workspace's lock, with what a killed process had announced
// finished first, and the ledger's word on stored data.
#pragma once

#include "cli/compose.h"
#include "cli/session.h"
#include "custody/deletion.h"

namespace redoubt::cli {

// Artifacts of a place as commands read and write them: what is written goes to the replica too, what was archived is found.
Result<vault::ArtifactStore*> artifacts_of(Session& session, const custody::View& view, const custody::Place& place);

struct VaultWork {
  std::unique_ptr<Session> session;
  std::optional<FileLock> lock;
  custody::Stores stores;
  custody::View view;
  custody::Rules rules;

  // To change something. permission_denied without the permission, unavailable while another process writes or when the clock ran
  // backwards.
  static Result<std::unique_ptr<VaultWork>> open(Invocation& invocation, governance::Permission permission);
  // To look: no lock, nothing is finished.
  static Result<std::unique_ptr<VaultWork>> look(Invocation& invocation, governance::Permission permission);

  Status refresh();  // after what was recorded
  TimePoint now() const { return session->clock().now(); }
  Result<custody::Needs> needs();
  Result<vault::ArtifactStore*> artifacts(const custody::Place& place);
  // Kept versions that a target means, and an artifact that nobody named; not_found for none.
  Result<std::vector<custody::NamedVersion>> versions(const custody::Target& target);
};

// The keyring of own keys as it lies in a replica, whose copy is replaced by ours; false where there is none here.
inline constexpr const char* kOwnKeysObject = "keys/own-keys.json";
Result<bool> copy_own_keys(VaultWork& work, provider::ObjectStore& replica);
// The replica that the policy names; null where it names none.
Result<provider::ObjectStore*> replica_of(VaultWork& work);

// The second factor of an operation: a code that is read now, or nothing, for another person's approval. Wrong codes are counted in the
// ledger. Answers what the ledger is to say of it ("totp_counter").
Result<Json> read_code(VaultWork& work);
// Asks for another person; answers exit code 6 and what to do next.
Result<int> ask_for_approval(VaultWork& work, const char* operation, const custody::Target& target, const std::vector<custody::NamedVersion>& versions, const std::string& reason, const Output& output);
// gate_refused or permission_denied where the policy wants the other kind of second factor.
Status check_factor(const VaultWork& work, bool by_code);

Result<int> carry_out_deletion(VaultWork& work, const custody::Target& target, const std::vector<custody::NamedVersion>& versions, const Json& about, const Output& output);
// Destroys the own key of a name and writes the certificate into `file`, where one is named.
Result<int> carry_out_erasure(VaultWork& work, const std::string& name, const Json& about, const std::string& file, const Output& output);
// Erasures that a killed process began.
Status finish_erasures(VaultWork& work);

Json to_json(const custody::NamedVersion& version);

}  // namespace redoubt::cli
