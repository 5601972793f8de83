// SPDX-License-Identifier: Apache-2.0
#include "governance/workspace.h"

#include <sys/stat.h>

#include <cstdlib>

#include "base/file.h"
#include "base/json.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "vault/key_file.h"

namespace redoubt::governance {
namespace fs = std::filesystem;
namespace local = provider::local;
namespace {

constexpr int kWorkspaceVersion = 1;
constexpr const char* kMarker = ".creating";
constexpr const char* kRunLock = "run.lock";
constexpr const char* kKeyringKey = "keyring.key";
constexpr std::size_t kIdDigits = 32;

struct Description {
  std::string id;
  TimePoint created{};
};

bool is_workspace_id(std::string_view id) {
  return id.size() == kIdDigits && id.find_first_not_of("0123456789abcdef") == id.npos;
}

std::string encode_description(const Description& description) {
  Json json = {{"format", "redoubt-workspace"},
               {"version", kWorkspaceVersion},
               {"id", description.id},
               {"created", to_rfc3339(description.created)}};
  json["sha256"] = crypto::sha256(dump_json(json)).hex();
  return dump_json(json) + "\n";
}

Result<Description> parse_workspace_fields(const Json& json) {
  Description description;
  description.id = TRY(json_string(json, "id", "workspace.json"));
  description.created = TRY(parse_rfc3339(TRY(json_string(json, "created", "workspace.json"))));
  return description;
}

// The checksum is there against damage; what an attacker could write here only leads to keys that do not open.
Result<Description> parse_description(std::string_view text, const fs::path& path) {
  const auto changed = [&] { return fail(ErrorCode::tampered, "the workspace's description was changed", path.string()); };
  auto json = parse_json(text, path.string(), {.bytes_max = 4096, .depth_max = 2});
  if (!json || !json->is_object()) return changed();
  Json rest = *json;
  rest.erase("sha256");
  const auto checksum = json_string(*json, "sha256", path.string());
  if (!checksum || *checksum != crypto::sha256(dump_json(rest)).hex()) return changed();
  const auto version = json_integer(*json, "version", path.string());
  if (version && *version > kWorkspaceVersion) {
    return fail(ErrorCode::unsupported, "a later release made this workspace", path.string(), "use that release");
  }
  auto description = parse_workspace_fields(*json);
  if (!description || !is_workspace_id(description->id) || encode_description(*description) != text) return changed();
  return description;
}

// Refuses what is neither empty nor left by an interrupted making, and changes nothing.
Status check_root(const fs::path& root) {
  if (!is_there(root)) return {};
  if (is_there(root / "workspace.json"))
    return fail(ErrorCode::already_exists, "there is a workspace already", root.string());
  const std::string unwritten_marker = "." + std::string(kMarker) + ".";
  for (const auto& name : TRY(list_folder(root))) {
    if (is_there(root / kMarker) || name == kRunLock || name.starts_with(unwritten_marker)) continue;
    return fail(ErrorCode::already_exists, "the folder is not empty", root.string(), "choose a new or an empty folder");
  }
  return {};
}

// The id of the workspace to make: a new one, or that of one whose making was interrupted, of which only the marker is kept.
Result<std::string> prepare_root(const fs::path& root) {
  if (!is_there(root / kMarker)) {
    const auto id = to_hex(crypto::random_bytes(kIdDigits / 2));
    TRY(write_file(root / kMarker, id));
    return id;
  }
  const auto id = TRY(read_text_file(root / kMarker, kIdDigits));
  if (!is_workspace_id(id)) return fail(ErrorCode::tampered, "the mark of a half-made workspace was changed", root.string());
  for (const auto& name : TRY(list_folder(root))) {
    std::error_code error;
    if (name != kMarker && name != kRunLock) fs::remove_all(root / name, error);
    if (error) return fail_errno(error.value(), "remove what an interrupted making left", (root / name).string());
  }
  return id;
}

Result<fs::path> credentials_folder(const std::optional<fs::path>& given, const std::string& id) {
  return given ? *given : default_credentials_folder(id);
}

Result<local::Unlock> unlock_for_create(const Workspace::CreateOptions& options, const fs::path& credentials) {
  if (options.passphrase) return *options.passphrase;
  const auto path = credentials / kKeyringKey;
  const auto made = vault::make_key_file(path);
  // An interrupted making left it.
  if (!made && made.error().code != ErrorCode::already_exists) return fail(made.error());
  return local::KeyFile{path};
}

Result<local::Unlock> unlock_for_open(const Workspace::OpenOptions& options, const WorkspaceLayout& layout,
                                      const fs::path& credentials) {
  if (TRY(local::LocalKms::unlock_kind(layout.keyring())) == local::UnlockKind::passphrase) {
    if (options.passphrase) return *options.passphrase;
    return fail(ErrorCode::permission_denied, "a passphrase opens this workspace", layout.root.string(),
                "give its passphrase");
  }
  const auto path = credentials / kKeyringKey;
  if (is_there(path)) return local::KeyFile{path};
  return fail(ErrorCode::permission_denied, "the key file of this workspace is not there", path.string(),
              "run as the user who made the workspace, or restore the key file from your backup");
}

enum class Below { left_out, taken };

// A pipe or a device in the place of a file would keep its reader, the audit too, waiting for ever.
Status refuse_devices(const fs::path& folder, Below below = Below::left_out) {
  for (const auto& name : TRY(list_folder(folder))) {
    const auto path = folder / name;
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0 || S_ISREG(info.st_mode)) continue;
    if (!S_ISDIR(info.st_mode)) return fail(ErrorCode::tampered, "neither a plain file nor a folder", path.string(), "remove it, and restore what stood there from your backup");
    std::error_code ignored;
    if (below == Below::taken && !fs::is_symlink(path, ignored)) TRY(refuse_devices(path, below));
  }
  return {};
}

}  // namespace

Result<fs::path> default_credentials_folder(const std::string& workspace_id) {
  const auto folder_in = [](const char* variable) -> fs::path {
    const char* value = std::getenv(variable);
    return value == nullptr || *value != '/' ? fs::path() : fs::path(value);
  };
  auto base = folder_in("XDG_CONFIG_HOME");
  if (base.empty() && !folder_in("HOME").empty()) base = folder_in("HOME") / ".config";
  if (base.empty()) {
    return fail(ErrorCode::invalid_argument, "there is no home folder for key files", {}, "set HOME or XDG_CONFIG_HOME");
  }
  return base / "redoubt" / workspace_id;
}

Identities::Places Workspace::identity_places() const {
  return {id_, layout_.identities(), layout_.identity_keys(), credentials_};
}

Status Workspace::open_parts(const Clock& clock) {
  objects_ = TRY(local::LocalObjectStore::open(layout_.objects()));
  artifacts_ =
      std::make_unique<vault::ArtifactStore>(*objects_, vault::ArtifactStore::Options{id_, sealing_key(), layout_.spool()});
  secrets_ = TRY(local::VaultSecretStore::open({layout_.secrets(), id_, sealing_key(), write_hook()}, clock));
  identities_ = TRY(Identities::open(identity_places()));
  return {};
}

Result<std::unique_ptr<Workspace>> Workspace::create(const CreateOptions& options, const Clock& clock) {
  if (options.identities.empty()) return fail(ErrorCode::invalid_argument, "a workspace needs an identity");
  const WorkspaceLayout layout{options.root};
  TRY(check_root(layout.root));
  TRY(make_folder(layout.root));
  const auto lock = TRY(FileLock::try_acquire(layout.run_lock()));
  TRY(check_root(layout.root));
  const auto id = TRY(prepare_root(layout.root));
  const auto credentials = TRY(credentials_folder(options.credentials, id));
  std::unique_ptr<Workspace> workspace(new Workspace(layout, id, clock.now(), credentials));
  const auto unlock = TRY(unlock_for_create(options, credentials));
  workspace->kms_ = TRY(local::LocalKms::create(layout.keyring(), unlock));
  workspace->unlock_ = unlock;
  TRY(workspace->kms_->create_key(workspace->sealing_key().uri));
  for (const auto& folder : {layout.state(), layout.spool()}) TRY(make_folder(folder));
  auto identities = TRY(Identities::create(workspace->identity_places()));
  for (const auto& identity : options.identities) TRY(identities.add(identity.name, identity.roles));
  TRY(workspace->open_parts(clock));
  // Written last: what has it is whole.
  TRY(write_file(layout.description(), encode_description({id, workspace->created_})));
  std::error_code ignored;
  fs::remove(layout.root / kMarker, ignored);
  return workspace;
}

Result<std::unique_ptr<Workspace>> Workspace::open(const OpenOptions& options, const Clock& clock) {
  const WorkspaceLayout layout{options.root};
  if (!is_there(layout.description())) {
    return fail(
        ErrorCode::not_found,
        is_there(layout.root / kMarker) ? "the making of this workspace was interrupted" : "there is no workspace here",
        layout.root.string(), "make it with 'redoubt init'");
  }
  auto workspace = open_made(options, clock);
  if (workspace || workspace.error().code != ErrorCode::not_found) return workspace;
  // Its description was written last: a part that is not there was taken away.
  return fail(ErrorCode::tampered, "a part of the workspace is missing", workspace.error().where, "restore it from your backup");
}

Result<std::unique_ptr<Workspace>> Workspace::open_made(const OpenOptions& options, const Clock& clock) {
  const WorkspaceLayout layout{options.root};
  TRY(refuse_devices(layout.root));
  const auto text = TRY(read_text_file(layout.description(), 4096));
  const auto description = TRY(parse_description(text, layout.description()));
  const auto credentials = TRY(credentials_folder(options.credentials, description.id));
  std::unique_ptr<Workspace> workspace(new Workspace(layout, description.id, description.created, credentials));
  // These always hold something; the objects may not, and a backup keeps no empty folder.
  for (const auto& folder : {layout.secrets(), layout.state(), layout.identity_keys()}) {
    if (!is_folder(folder)) return fail(ErrorCode::not_found, "no such folder", folder.string());
    TRY(refuse_devices(folder));
  }
  if (is_folder(layout.ledger())) TRY(refuse_devices(layout.ledger(), Below::taken));
  const auto unlock = TRY(unlock_for_open(options, layout, credentials));
  workspace->kms_ = TRY(local::LocalKms::open(layout.keyring(), unlock));
  workspace->unlock_ = unlock;
  TRY(workspace->open_parts(clock));
  return workspace;
}

bool Workspace::needs_passphrase(const fs::path& root) {
  if (!refuse_devices(root)) return false;
  const auto kind = local::LocalKms::unlock_kind(WorkspaceLayout{root}.keyring());
  return kind && *kind == local::UnlockKind::passphrase;
}

Result<FileLock> Workspace::lock() {
  auto lock = TRY(FileLock::try_acquire(layout_.run_lock()));
  TRY(objects_->remove_leftovers());
  for (const auto& folder : {layout_.root, layout_.secrets(), layout_.state(), layout_.identity_keys()}) {
    TRY(remove_leftovers(folder));
  }
  std::error_code ignored;
  fs::remove(layout_.root / kMarker, ignored);
  return lock;
}

Result<vault::SealedFile> Workspace::state_file(std::string_view name) {
  if (!provider::is_object_key(name) || name.find('/') != name.npos) {
    return fail(ErrorCode::invalid_argument, "not a name for a file of state", std::string(name));
  }
  return vault::SealedFile(layout_.state() / name, sealing_key(),
                           {{"workspace", id_}, {"kind", "state"}, {"name", std::string(name)}}, 16 << 20, write_hook());
}

vault::BeforeWrite Workspace::write_hook() {
  return [this](const fs::path& path, ByteView sealed) { return before_write_ ? before_write_(path, sealed) : Status{}; };
}

Result<local::LocalKms*> Workspace::own_keys(Missing missing) {
  if (own_keys_ != nullptr) return own_keys_.get();
  const auto file = own_keyring();
  const local::LocalKms::Options options{"own:", true};
  if (!is_there(file) && missing == Missing::refuse) {
    return fail(ErrorCode::not_found, "the keyring of datasets with keys of their own is not there", file.string(), "put your copy of it back; a replica of the vault has one: redoubt vault recover");
  }
  own_keys_ = is_there(file) ? TRY(local::LocalKms::open(file, *unlock_, options)) : TRY(local::LocalKms::create(file, *unlock_, options));
  return own_keys_.get();
}

Result<Workspace::Rewrapped> Workspace::rewrap(Progress& progress, const std::map<std::string, OwnSeal>& own) {
  const auto key = sealing_key();
  const auto is_current = [this, &key](ByteView wrapped) { return kms_->is_current(key.uri, wrapped); };
  std::vector<fs::path> small, large;
  for (const auto& folder : {layout_.state(), layout_.secrets()}) {
    for (const auto& name : TRY(list_folder(folder))) {
      if (!name.starts_with('.')) small.push_back(folder / name);
    }
  }
  for (const auto& object : TRY(objects_->list(""))) large.push_back(layout_.objects() / object);
  Rewrapped done;
  progress.begin("wrapping data keys anew", small.size() + large.size(), "files");
  for (const auto& path : small) {
    const auto lock = TRY(FileLock::acquire(path.parent_path() / vault::kWriteLock));
    if (!is_there(path)) continue;  // removed meanwhile
    done.rewrapped += TRY(vault::rewrap_file(path, key, is_current)) ? 1 : 0;
    progress.update(++done.files);
  }
  for (const auto& path : large) {
    const std::string object = path.lexically_relative(layout_.objects()).generic_string();
    const OwnSeal seal{key, is_current};
    const OwnSeal* by = &seal;
    if (object.starts_with("own/")) {
      const auto found = own.find(object.substr(0, object.find('/', 4) + 1));
      if (found == own.end()) continue;  // erased, or sealed by a keeper that rotates by itself
      by = &found->second;
    }
    done.rewrapped += TRY(vault::rewrap_file(path, by->key, by->is_current)) ? 1 : 0;
    progress.update(++done.files);
  }
  progress.end();
  return done;
}

Result<Secret> Workspace::named_key(std::string_view name) {
  const auto file = TRY(state_file("key-" + std::string(name)));
  if (file.exists()) {
    Secret key(TRY(file.read()));
    if (key.size() == 32) return key;
    return fail(ErrorCode::tampered, "a key of the workspace has a wrong length", std::string(name));
  }
  auto key = crypto::random_secret(32);
  TRY(file.write(key.reveal(SecretAccess::for_storage())));
  return key;
}

}  // namespace redoubt::governance
