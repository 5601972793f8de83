// SPDX-License-Identifier: Apache-2.0
#include "governance/identity.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "crypto/hash.h"
#include "governance/identity_key.h"
#include "vault/key_file.h"

namespace redoubt::governance {
namespace {

constexpr int kIdentitiesVersion = 1;
constexpr std::size_t kIdentitiesBytesMax = 4 << 20, kSealedKeyBytesMax = 16 << 10;
constexpr std::array kRoles = {Role::pipeline_operator, Role::reviewer, Role::auditor, Role::admin};

bool is_identity_name(std::string_view name) {
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), allowed);
}

// "reviewer" or "operator or admin".
std::string roles_that_allow(Permission permission) {
  std::string text;
  for (const Role role : kRoles) {
    if (allows(role, permission)) text += (text.empty() ? "" : " or ") + std::string(to_string(role));
  }
  return text;
}

bool holds(const Identity& identity, Permission permission) {
  return std::any_of(identity.roles.begin(), identity.roles.end(), [&](Role role) { return allows(role, permission); });
}

Result<Identity> parse_identity(const Json& json) {
  const auto name = TRY(json_string(json, "name", "identities.json"));
  std::set<Role> roles;
  for (const auto& role : TRY(json_array(json, "roles", "identities.json"))) {
    if (!role.is_string()) return fail(ErrorCode::tampered, "a role is no text");
    roles.insert(TRY(parse_role(role.get_ref<const std::string&>())));
  }
  auto key = TRY(crypto::PublicKey::from_pem(TRY(json_string(json, "public_key", "identities.json"))));
  if (!is_identity_name(name) || key.algorithm() != crypto::SignatureAlgorithm::ed25519) {
    return fail(ErrorCode::tampered, "not an identity", "identities.json");
  }
  return Identity{name, std::move(roles), std::move(key)};
}

Result<std::vector<Identity>> parse_identities(std::string_view text) {
  const auto json = TRY(parse_json(text, "identities.json", {.bytes_max = kIdentitiesBytesMax, .depth_max = 6}));
  std::vector<Identity> identities;
  for (const auto& entry : TRY(json_array(json, "identities", "identities.json"))) {
    identities.push_back(TRY(parse_identity(entry)));
  }
  return identities;
}

// A credential left by an `add` that was killed before the identity was listed is used again.
Result<Secret> make_or_read_credential(const std::filesystem::path& path) {
  auto made = vault::make_key_file(path);
  if (!made && made.error().code == ErrorCode::already_exists) return vault::read_key_file(path);
  return made;
}

}  // namespace

const char* to_string(Role role) {
  switch (role) {
    case Role::pipeline_operator: return "operator";
    case Role::reviewer: return "reviewer";
    case Role::auditor: return "auditor";
    case Role::admin: return "admin";
  }
  return "unknown";
}

const char* to_string(Permission permission) {
  switch (permission) {
    case Permission::run_pipeline: return "run a pipeline";
    case Permission::approve: return "approve or reject a version";
    case Permission::deploy: return "deploy";
    case Permission::manage_secrets: return "manage secrets";
    case Permission::manage_keys: return "manage keys";
    case Permission::manage_identities: return "manage identities";
    case Permission::read_audit: return "read the audit log";
    case Permission::manage_data: return "delete or move stored data";
    case Permission::hold_data: return "place or release a hold";
    case Permission::set_policy: return "set the vault's policy";
  }
  return "unknown";
}

Result<Role> parse_role(std::string_view text) {
  for (const Role role : kRoles) {
    if (text == to_string(role)) return role;
  }
  return fail(ErrorCode::invalid_argument, "no such role", std::string(text.substr(0, 64)),
              "the roles are operator, reviewer, auditor and admin");
}

bool allows(Role role, Permission permission) {
  if (permission == Permission::read_audit) return true;
  switch (role) {
    case Role::pipeline_operator:
      return permission == Permission::run_pipeline || permission == Permission::deploy ||
             permission == Permission::manage_secrets || permission == Permission::manage_keys ||
             permission == Permission::manage_data;
    case Role::reviewer: return permission == Permission::approve || permission == Permission::hold_data;
    case Role::auditor: return false;
    case Role::admin:
      return permission == Permission::manage_identities || permission == Permission::manage_keys ||
             permission == Permission::manage_secrets || permission == Permission::manage_data ||
             permission == Permission::hold_data || permission == Permission::set_policy;
  }
  return false;
}

Result<Identities> Identities::create(Places places) {
  std::error_code ignored;
  if (std::filesystem::exists(places.file, ignored)) {
    return fail(ErrorCode::already_exists, "there are identities already", places.file.string());
  }
  Identities identities(std::move(places));
  TRY(make_folder(identities.places_.sealed_keys));
  TRY(write_file(identities.places_.file, identities.encode()));
  return identities;
}

Result<Identities> Identities::open(Places places) {
  Identities identities(std::move(places));
  TRY(identities.reload());
  return identities;
}

std::string Identities::encode() const {
  Json list = Json::array();
  for (const auto& identity : identities_) {
    Json roles = Json::array();
    for (const Role role : identity.roles) roles.push_back(to_string(role));
    list.push_back({{"name", identity.name}, {"roles", std::move(roles)}, {"public_key", identity.key.to_pem()}});
  }
  return dump_json({{"version", kIdentitiesVersion}, {"workspace", places_.workspace}, {"identities", std::move(list)}}) + "\n";
}

Status Identities::reload() {
  const auto text = TRY(read_text_file(places_.file, kIdentitiesBytesMax));
  auto parsed = parse_identities(text);
  if (parsed) identities_ = std::move(*parsed);
  if (parsed && encode() == text) return {};
  return fail(ErrorCode::tampered, "the identities are not as they were written", places_.file.string(),
              "restore the file from your backup");
}

// The new list lies beside the one in force until `prepare` is done. A failure leaves it there: `settle` knows whether the ledger has it.
Status Identities::replace(std::vector<Identity> identities, const std::function<Status()>& prepare) {
  std::sort(identities.begin(), identities.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  auto before = std::exchange(identities_, std::move(identities));
  auto done = write_file(next_file(), encode());
  if (done) done = prepare();
  if (done) return put_next_in_place();
  identities_ = std::move(before);
  return done;
}

Status Identities::put_next_in_place() const {
  if (std::rename(next_file().c_str(), places_.file.c_str()) != 0) return fail_errno(errno, "put in place", places_.file.string());
  return sync_folder(places_.file.parent_path());
}

// With the keys of those who are on it alone: nobody has signed with them.
Status Identities::drop_next() const {
  std::error_code error;
  const auto text = read_text_file(next_file(), kIdentitiesBytesMax);
  const auto next = text ? parse_identities(*text) : Result<std::vector<Identity>>(fail(text.error()));
  for (const auto& identity : next.value_or(std::vector<Identity>())) {
    const bool is_listed = std::any_of(identities_.begin(), identities_.end(), [&](const auto& one) { return one.name == identity.name; });
    if (!is_listed) std::filesystem::remove(sealed_path(identity.name), error);
  }
  std::filesystem::remove(next_file(), error);
  if (error) return fail_errno(error.value(), "remove", next_file().string());
  return {};
}

Status Identities::settle(const Recorded& recorded) {
  const auto wanted = TRY(recorded());
  if (!wanted || (digest() == *wanted && !is_there(next_file()))) return {};
  const auto lock = TRY(FileLock::acquire(places_.file.string() + ".lock"));
  TRY(reload());
  const Digest newest = TRY(recorded()).value_or(*wanted);
  if (is_there(next_file())) {
    const auto next = read_file(next_file(), kIdentitiesBytesMax);
    const bool is_recorded = next && crypto::sha256(*next) == newest;
    TRY(is_recorded ? put_next_in_place() : drop_next());
    if (is_recorded) TRY(reload());
  }
  if (digest() == newest) return {};
  return fail(ErrorCode::tampered, "the identities are not those that the ledger recorded last", places_.file.string(), "restore the file from your backup; 'redoubt audit verify' names all that was changed");
}

Result<Identity> Identities::find(std::string_view name) const {
  for (const auto& identity : identities_) {
    if (identity.name == name) return identity;
  }
  std::string known;
  for (const auto& identity : identities_) known += (known.empty() ? "" : ", ") + identity.name;
  return fail(ErrorCode::permission_denied, "unknown identity", std::string(name.substr(0, 64)),
              "choose one with --as; this workspace knows: " + known);
}

Result<Identity> Identities::find_by_key(std::string_view key_id) const {
  for (const auto& identity : identities_) {
    if (identity.key.key_id() == key_id) return identity;
  }
  const auto newer = open(places_);
  for (const auto& identity : newer ? newer->identities_ : std::vector<Identity>()) {
    if (identity.key.key_id() == key_id) return identity;
  }
  return fail(ErrorCode::not_found, "no identity has this key", std::string(key_id.substr(0, 64)));
}

Status Identities::require(std::string_view name, Permission permission) const {
  if (holds(TRY(find(name)), permission)) return {};
  std::string others;
  for (const auto& identity : identities_) {
    if (holds(identity, permission)) others += (others.empty() ? "" : ", ") + identity.name;
  }
  const auto role = roles_that_allow(permission);
  return fail(ErrorCode::permission_denied,
              "'" + std::string(name) + "' may not " + to_string(permission) + ": it takes the role " + role,
              std::string(name),
              others.empty() ? "no identity of this workspace has the role " + role + "; 'redoubt init' makes an 'admin' unless told otherwise, who can give it"
                             : "ask one who may: " + others + " (whoever holds its key file acts with --as)");
}

std::filesystem::path Identities::credential_path(std::string_view name,
                                                  const std::optional<std::filesystem::path>& given) const {
  return given ? *given : places_.credentials / (std::string(name) + ".key");
}

Result<Identity> Identities::add(std::string_view name, std::set<Role> roles, std::optional<std::filesystem::path> credential, const Announce& announce) {
  if (!is_identity_name(name)) {
    return fail(ErrorCode::invalid_argument, "not a name for an identity", std::string(name.substr(0, 64)),
                "use small letters, digits and '-'");
  }
  if (roles.empty()) return fail(ErrorCode::invalid_argument, "an identity needs a role", std::string(name));
  const auto lock = TRY(FileLock::acquire(places_.file.string() + ".lock"));
  TRY(reload());
  if (find(name)) return fail(ErrorCode::already_exists, "the identity exists", std::string(name));
  const auto secret = TRY(make_or_read_credential(credential_path(name, credential)));
  const auto key = crypto::SigningKey::generate(crypto::SignatureAlgorithm::ed25519);
  TRY(make_folder(places_.sealed_keys));
  Identity identity{std::string(name), std::move(roles), key.public_key()};
  auto identities = identities_;
  identities.push_back(identity);
  // In force last: an identity that is listed has its key.
  TRY(replace(std::move(identities), [&]() -> Status {
    TRY(write_file(sealed_path(identity.name), seal_signing_key(key, secret, {places_.workspace, identity.name})));
    return announce ? announce(digest()) : Status{};
  }));
  return identity;
}

Status Identities::set_roles(std::string_view name, std::set<Role> roles, const Announce& announce) {
  if (roles.empty()) return fail(ErrorCode::invalid_argument, "an identity needs a role", std::string(name));
  const auto lock = TRY(FileLock::acquire(places_.file.string() + ".lock"));
  TRY(reload());
  TRY(find(name));
  auto identities = identities_;
  for (auto& identity : identities) {
    if (identity.name == name) identity.roles = roles;
  }
  return replace(std::move(identities), [&] { return announce ? announce(digest()) : Status{}; });
}

Result<crypto::SigningKey> Identities::unlock(std::string_view name, std::optional<std::filesystem::path> credential) const {
  const auto identity = TRY(find(name));
  const auto path = credential_path(name, credential);
  auto secret = vault::read_key_file(path);
  if (!secret && secret.error().code == ErrorCode::not_found) {
    return fail(ErrorCode::permission_denied, "the credential file of '" + identity.name + "' is not there", path.string(),
                "act as an identity whose credential you hold (--as), or name its file");
  }
  if (!secret) return fail(secret.error());
  const auto sealed_file = sealed_path(identity.name);
  const auto sealed = read_file(sealed_file, kSealedKeyBytesMax);
  if (!sealed && sealed.error().code == ErrorCode::not_found) {
    return fail(ErrorCode::tampered, "the identity is listed and its sealed key is not there", sealed_file.string(), "'redoubt audit verify' names all that was changed; go back to a backup");
  }
  if (!sealed) return fail(sealed.error());
  auto key = open_signing_key(*sealed, *secret, {places_.workspace, identity.name});
  if (!key) {
    key.error().where = key.error().code == ErrorCode::permission_denied ? path.string() : sealed_file.string();
    return key;
  }
  if (key->public_key().key_id() != identity.key.key_id()) {
    return fail(ErrorCode::tampered, "the identity's key is not the one it is listed with", sealed_file.string());
  }
  return key;
}

Digest Identities::digest() const { return crypto::sha256(encode()); }

}  // namespace redoubt::governance
