// SPDX-License-Identifier: Apache-2.0
//
// Who may do what in a workspace, and the keys they sign with. identities.json holds names, roles and public keys in clear;
// its digest goes into the ledger before it is in force, so a change that the ledger does not know is found. A private key lies
// sealed in the workspace and opens only with the identity's credential file, outside of it.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "crypto/sign.h"

namespace redoubt::governance {

enum class Role { pipeline_operator, reviewer, auditor, admin };

enum class Permission {
  run_pipeline,       // import, train, evaluate, register
  approve,            // approve, reject, revoke a version (four eyes: not what one ran oneself)
  deploy,             // deploy, roll back, stop; keys of the endpoint
  manage_secrets,     // put, rotate, delete secrets
  manage_keys,        // rotate or destroy keys of the keyring
  manage_identities,  // add identities, change their roles
  read_audit,         // ledger, captures, reports
  manage_data,        // delete, archive, replicate, erase what the vault keeps
  hold_data,          // place and release holds; not by who may delete alone
  set_policy,         // the vault's rules: how long what is kept
};

const char* to_string(Role role);  // "operator", "reviewer", "auditor", "admin"
const char* to_string(Permission permission);
Result<Role> parse_role(std::string_view text);
// The table of who may do what.
bool allows(Role role, Permission permission);

struct Identity {
  std::string name;  // [a-z0-9-], 1 to 64 bytes
  std::set<Role> roles;
  crypto::PublicKey key;  // Ed25519
};

// The identities of a workspace. Changes hold a file lock; a reader sees the state of its last `open` or change.
class Identities {
 public:
  struct Places {
    std::string workspace;              // the workspace's id, bound into every sealed key
    std::filesystem::path file;         // identities.json
    std::filesystem::path sealed_keys;  // the folder of <name>.sealed
    std::filesystem::path credentials;  // the folder of <name>.key, outside the workspace
  };
  // Starts without identities; already_exists.
  static Result<Identities> create(Places places);
  // tampered for a file that is not as `create` and `add` write it.
  static Result<Identities> open(Places places);

  const std::vector<Identity>& list() const { return identities_; }
  // permission_denied for a name that is unknown.
  Result<Identity> find(std::string_view name) const;
  // permission_denied names the missing role and who has it.
  Status require(std::string_view name, Permission permission) const;
  // The key id of a signature, or not_found: who signed this? Knows who was added since by another process.
  Result<Identity> find_by_key(std::string_view key_id) const;

  // Brings the digest of a new list to the ledger, after which the list comes into force.
  using Announce = std::function<Status(const Digest& digest)>;
  // Makes a key pair, seals it, and leaves its credential file at `credential`, or in the folder of credentials.
  Result<Identity> add(std::string_view name, std::set<Role> roles, std::optional<std::filesystem::path> credential = {}, const Announce& announce = {});
  Status set_roles(std::string_view name, std::set<Role> roles, const Announce& announce = {});

  // What the ledger says of the list; nothing where it has no word of it yet.
  using Recorded = std::function<Result<std::optional<Digest>>()>;
  // Ends a change that was cut off, whichever way the ledger says, and waits for one that goes on. tampered where the list is another
  // than the ledger's: roles that somebody wrote into the file count nowhere.
  Status settle(const Recorded& recorded);

  // permission_denied without the right credential file; tampered when the sealed key is not that of the public one.
  Result<crypto::SigningKey> unlock(std::string_view name, std::optional<std::filesystem::path> credential = {}) const;

  // SHA-256 of identities.json, for the ledger.
  Digest digest() const;

 private:
  explicit Identities(Places places) : places_(std::move(places)) {}
  std::string encode() const;
  Status reload();
  std::filesystem::path next_file() const { return places_.file.parent_path() / ".identities.next"; }
  std::filesystem::path sealed_path(const std::string& name) const { return places_.sealed_keys / (name + ".sealed"); }
  Status replace(std::vector<Identity> identities, const std::function<Status()>& prepare);
  Status put_next_in_place() const;
  Status drop_next() const;
  std::filesystem::path credential_path(std::string_view name, const std::optional<std::filesystem::path>& given) const;

  Places places_;
  std::vector<Identity> identities_;
};

}  // namespace redoubt::governance
