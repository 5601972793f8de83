// SPDX-License-Identifier: Apache-2.0
//
// The folder that holds a project's models, data, evidence and keys (docs/formats/workspace.md), and the providers embedded
// in it.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/progress.h"
#include "governance/identity.h"
#include "provider/local/local_kms.h"
#include "provider/local/local_object_store.h"
#include "provider/local/vault_secret_store.h"
#include "vault/artifact_store.h"
#include "vault/rewrap.h"
#include "vault/sealed_file.h"

namespace redoubt::governance {

// Where things lie below the workspace's folder.
struct WorkspaceLayout {
  std::filesystem::path root;

  std::filesystem::path description() const { return root / "workspace.json"; }
  std::filesystem::path keyring() const { return root / "keyring.json"; }
  std::filesystem::path objects() const { return root / "objects"; }
  std::filesystem::path secrets() const { return root / "secrets"; }
  std::filesystem::path state() const { return root / "state"; }  // small sealed files
  std::filesystem::path identities() const { return root / "identities.json"; }
  std::filesystem::path identity_keys() const { return root / "identities"; }
  std::filesystem::path ledger() const { return root / "ledger"; }
  std::filesystem::path images() const { return root / "images"; }
  std::filesystem::path spool() const { return root / "spool"; }  // unnamed, sealed temporary files
  std::filesystem::path registry() const { return root / "registry.db"; }
  std::filesystem::path metrics() const { return root / "metrics.db"; }
  std::filesystem::path logs() const { return root / "logs"; }  // of who asked an endpoint: no prompts, not sealed
  std::filesystem::path run_lock() const { return root / "run.lock"; }
};

// ${XDG_CONFIG_HOME:-~/.config}/redoubt/<workspace-id>; invalid_argument without a home.
Result<std::filesystem::path> default_credentials_folder(const std::string& workspace_id);

class Workspace {
 public:
  struct NewIdentity {
    std::string name;
    std::set<Role> roles;
  };
  struct CreateOptions {
    std::filesystem::path root;
    // Without one, a key file in the folder of credentials opens the keyring.
    std::optional<provider::local::Passphrase> passphrase = {};
    std::vector<NewIdentity> identities = {
        {"operator", {Role::pipeline_operator}}, {"reviewer", {Role::reviewer}}, {"admin", {Role::admin}}};
    // Instead of the default folder.
    std::optional<std::filesystem::path> credentials = {};
  };
  struct OpenOptions {
    std::filesystem::path root;
    std::optional<provider::local::Passphrase> passphrase = {};
    std::optional<std::filesystem::path> credentials = {};
  };

  // Refuses a folder that is not empty (already_exists), unless it is a workspace whose making was interrupted: that one is
  // made again from the start. Killed at any instant it leaves either of the two, or a whole workspace. `clock` must outlive
  // it.
  static Result<std::unique_ptr<Workspace>> create(const CreateOptions& options, const Clock& clock);
  // not_found where none is or only half of one; unsupported for a later format; tampered; permission_denied.
  static Result<std::unique_ptr<Workspace>> open(const OpenOptions& options, const Clock& clock);
  // Whether `open` will need one; false as well where no keyring can be read, which `open` then names.
  static bool needs_passphrase(const std::filesystem::path& root);

  // The one writer's lock; unavailable while another process holds it. Cleans what killed processes left.
  Result<FileLock> lock();

  const std::string& id() const { return id_; }
  TimePoint created() const { return created_; }
  const WorkspaceLayout& layout() const { return layout_; }
  const std::filesystem::path& credentials() const { return credentials_; }
  provider::local::LocalKms& kms() { return *kms_; }
  provider::ObjectStore& objects() { return *objects_; }
  vault::ArtifactStore& artifacts() { return *artifacts_; }
  provider::SecretStore& secrets() { return *secrets_; }
  Identities& identities() { return *identities_; }

  // Keys of datasets that are erased by destroying them: "own:NAME", in a keyring outside of the workspace, so that no backup of it
  // brings a destroyed one back. Opened at its first use; not_found where it is not there and may not be made.
  enum class Missing { refuse, make };
  Result<provider::local::LocalKms*> own_keys(Missing missing = Missing::refuse);
  std::filesystem::path own_keyring() const { return credentials_ / "own-keys.json"; }

  vault::SealingKey sealing_key() { return {kms_.get(), "local:default"}; }
  // A small sealed file of state; names as those of objects, without '/'.
  Result<vault::SealedFile> state_file(std::string_view name);
  // Is told of every sealed file of state and every secret before it is written; none: an empty function.
  void before_write(vault::BeforeWrite hook) { before_write_ = std::move(hook); }
  // Wraps the data keys of all sealed files and objects under the newest version of the key, those that are not yet. Killed at
  // any instant, the next call goes on. Call it under the lock.
  struct Rewrapped {
    std::uint64_t files = 0, rewrapped = 0;
  };
  // `own` names what seals the objects below a prefix ("own/<id>/"); those below others of that kind are left alone.
  struct OwnSeal {
    vault::SealingKey key;
    vault::IsCurrent is_current;
  };
  Result<Rewrapped> rewrap(Progress& progress, const std::map<std::string, OwnSeal>& own = {});
  // 32 bytes for one use ("registry-mac"), made at the first call and kept sealed. Call it under the lock.
  Result<Secret> named_key(std::string_view name);

 private:
  Workspace(WorkspaceLayout layout, std::string id, TimePoint created, std::filesystem::path credentials)
      : layout_(std::move(layout)), id_(std::move(id)), created_(created), credentials_(std::move(credentials)) {}
  static Result<std::unique_ptr<Workspace>> open_made(const OpenOptions& options, const Clock& clock);
  Status open_parts(const Clock& clock);
  Identities::Places identity_places() const;
  vault::BeforeWrite write_hook();

  WorkspaceLayout layout_;
  std::string id_;
  TimePoint created_;
  std::filesystem::path credentials_;
  vault::BeforeWrite before_write_;
  std::unique_ptr<provider::local::LocalKms> kms_;
  std::unique_ptr<provider::local::LocalObjectStore> objects_;
  std::unique_ptr<vault::ArtifactStore> artifacts_;
  std::unique_ptr<provider::local::VaultSecretStore> secrets_;
  std::optional<Identities> identities_;
  std::optional<provider::local::Unlock> unlock_;
  std::unique_ptr<provider::local::LocalKms> own_keys_;
};

}  // namespace redoubt::governance
