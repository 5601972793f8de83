// SPDX-License-Identifier: Apache-2.0
#include "provider/local/keyring.h"

#include "base/check.h"
#include "base/json.h"
#include "crypto/aes_gcm.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "vault/key_file.h"

namespace redoubt::provider::local {
namespace {

constexpr const char* kFormat = "redoubt-keyring";
constexpr int kVersion = 1;
constexpr std::size_t kKeyringBytesMax = 16 << 20, kSaltBytes = 32, kKeyBytes = 32;
constexpr std::string_view kKeysLabel = "redoubt keyring v1 keys";

tl::unexpected<Error> tampered(const char* what) {
  return fail(ErrorCode::tampered, std::string("the keyring was changed: ") + what, "keyring.json",
              "restore keyring.json from your backup");
}

// nonce | ciphertext | tag, with a random nonce: a keyring is written rarely.
Bytes seal(const Secret& key, ByteView plaintext, ByteView associated_data) {
  Bytes out = crypto::random_bytes(crypto::kAesGcmNonceBytes);
  const auto sealed = crypto::aes_gcm_seal(key, out, plaintext, associated_data);
  out.insert(out.end(), sealed.begin(), sealed.end());
  return out;
}

Result<Bytes> open(const Secret& key, ByteView sealed, ByteView associated_data, const char* what) {
  if (sealed.size() < crypto::kAesGcmNonceBytes) return tampered(what);
  auto plaintext = crypto::aes_gcm_open(key, sealed.first(crypto::kAesGcmNonceBytes),
                                        sealed.subspan(crypto::kAesGcmNonceBytes), associated_data);
  if (!plaintext) return tampered(what);
  return plaintext;
}

Json lock_json(const KeyringFile::Lock& lock) {
  Json json = {{"salt", to_base64(lock.salt)}, {"check", to_base64(lock.check)}};
  json["kind"] = lock.kind == UnlockKind::passphrase ? "passphrase" : "key-file";
  if (lock.kind == UnlockKind::passphrase) json["scrypt"] = {{"n", lock.cost.n}, {"r", lock.cost.r}, {"p", lock.cost.p}};
  return json;
}

Result<Bytes> base64_member(const Json& object, const char* key) {
  return from_base64(TRY(json_string(object, key, "keyring.json")));
}

Result<KeyringFile::Lock> parse_lock(const Json& json) {
  KeyringFile::Lock lock;
  lock.salt = TRY(base64_member(json, "salt"));
  lock.check = TRY(base64_member(json, "check"));
  const auto kind = TRY(json_string(json, "kind", "keyring.json"));
  if (lock.salt.size() != kSaltBytes || lock.check.size() != kKeyBytes) return tampered("a length is wrong");
  if (kind == "key-file") return lock;
  lock.kind = UnlockKind::passphrase;
  const auto cost = TRY(json_object(json, "scrypt", "keyring.json"));
  const auto n = TRY(json_integer(cost, "n", "keyring.json")), r = TRY(json_integer(cost, "r", "keyring.json")),
             p = TRY(json_integer(cost, "p", "keyring.json"));
  if (n < 0 || r < 0 || r > UINT32_MAX || p < 0 || p > UINT32_MAX) return tampered("scrypt parameters out of bounds");
  lock.cost = {static_cast<std::uint64_t>(n), static_cast<std::uint32_t>(r), static_cast<std::uint32_t>(p)};
  TRY(crypto::check_scrypt_cost(lock.cost));
  return lock;
}

Json without_checksum(const KeyringFile& file, int version) {
  return {{"format", kFormat},
          {"version", version},
          {"unlock", lock_json(file.lock)},
          {"root", to_base64(file.root)},
          {"keys", to_base64(file.keys)}};
}

Result<KeyringFile> parse_sections(const Json& json) {
  KeyringFile file;
  file.lock = TRY(parse_lock(TRY(json_object(json, "unlock", "keyring.json"))));
  file.root = TRY(base64_member(json, "root"));
  file.keys = TRY(base64_member(json, "keys"));
  return file;
}

// What the user holds, stretched where it may be guessed.
Result<Secret> material_of(const Unlock& unlock, const KeyringFile::Lock& lock) {
  if (const auto* key_file = std::get_if<KeyFile>(&unlock)) return vault::read_key_file(key_file->path);
  return crypto::scrypt(std::get<Passphrase>(unlock).text, lock.salt, lock.cost, kKeyBytes);
}

struct LockKeys {
  Secret check, seal;
};

Result<LockKeys> lock_keys(const Unlock& unlock, const KeyringFile::Lock& lock) {
  const auto material = TRY(material_of(unlock, lock));
  return LockKeys{crypto::hkdf_sha256(material, lock.salt, "redoubt keyring v1 check", kKeyBytes),
                  crypto::hkdf_sha256(material, lock.salt, "redoubt keyring v1 root", kKeyBytes)};
}

}  // namespace

std::string encode_keyring(const KeyringFile& file) {
  auto json = without_checksum(file, kVersion);
  json["sha256"] = crypto::sha256(dump_json(json)).hex();
  return dump_json(json) + "\n";
}

Result<KeyringFile> parse_keyring(std::string_view text) {
  auto json = parse_json(text, "keyring.json", {.bytes_max = kKeyringBytesMax, .depth_max = 4});
  if (!json || !json->is_object()) return tampered("it is not JSON");
  // The checksum tells damage from a wrong passphrase: without it, a changed salt would look like one.
  Json rest = *json;
  rest.erase("sha256");
  const auto checksum = json_string(*json, "sha256", "keyring.json");
  if (!checksum || *checksum != crypto::sha256(dump_json(rest)).hex()) return tampered("its checksum is wrong");
  const auto format = json_string(*json, "format", "keyring.json");
  const auto version = json_integer(*json, "version", "keyring.json");
  if (!format || *format != kFormat || !version) return tampered("it is not a keyring");
  if (*version > kVersion) {
    return fail(ErrorCode::unsupported, "a later release wrote this keyring", "keyring.json", "use that release");
  }
  auto file = parse_sections(*json);
  if (!file || encode_keyring(*file) != text) return tampered("it is not as it was written");
  return file;
}

Status lock_root(const Secret& root, const Unlock& unlock, KeyringFile& into) {
  KeyringFile::Lock lock;
  lock.salt = crypto::random_bytes(kSaltBytes);
  if (const auto* passphrase = std::get_if<Passphrase>(&unlock)) {
    if (passphrase->text.empty()) return fail(ErrorCode::invalid_argument, "a passphrase may not be empty");
    lock.kind = UnlockKind::passphrase;
    lock.cost = passphrase->cost;
  }
  const auto keys = TRY(lock_keys(unlock, lock));
  const auto check = keys.check.reveal(SecretAccess::for_crypto());
  lock.check.assign(check.begin(), check.end());
  into.lock = std::move(lock);
  into.root = seal(keys.seal, root.reveal(SecretAccess::for_storage()), view_of(dump_json(lock_json(into.lock))));
  return {};
}

Result<Secret> unlock_root(const KeyringFile& file, const Unlock& unlock) {
  const auto kind = std::holds_alternative<Passphrase>(unlock) ? UnlockKind::passphrase : UnlockKind::key_file;
  if (kind != file.lock.kind) {
    return fail(
        ErrorCode::permission_denied,
        kind == UnlockKind::passphrase ? "this keyring opens with a key file" : "this keyring opens with a passphrase",
        "keyring.json");
  }
  const auto keys = TRY(lock_keys(unlock, file.lock));
  if (keys.check != Secret(file.lock.check)) {
    return fail(ErrorCode::permission_denied, "wrong passphrase or key file", "keyring.json");
  }
  auto root = TRY(open(keys.seal, file.root, view_of(dump_json(lock_json(file.lock))), "its root key does not verify"));
  if (root.size() != kKeyBytes) return tampered("its root key has a wrong length");
  return Secret(std::move(root));
}

// For each key: length of the name (1), name, number of versions (4, big-endian), versions of 32 bytes.
Bytes seal_keys(const KeyVersions& keys, const Secret& root) {
  Bytes plain;
  for (const auto& [name, versions] : keys) {
    CHECK(!name.empty() && name.size() <= 255);
    plain.push_back(static_cast<std::uint8_t>(name.size()));
    plain.insert(plain.end(), name.begin(), name.end());
    for (int shift = 24; shift >= 0; shift -= 8) plain.push_back(static_cast<std::uint8_t>(versions.size() >> shift));
    for (const auto& version : versions) {
      const auto bytes = version.reveal(SecretAccess::for_storage());
      CHECK(bytes.size() == kKeyBytes);
      plain.insert(plain.end(), bytes.begin(), bytes.end());
    }
  }
  auto sealed = seal(root, plain, view_of(kKeysLabel));
  wipe_memory(plain);
  return sealed;
}

Result<KeyVersions> open_keys(ByteView sealed, const Secret& root) {
  const Secret plain(TRY(open(root, sealed, view_of(kKeysLabel), "its keys do not verify")));
  ByteView rest = plain.reveal(SecretAccess::for_storage());
  KeyVersions keys;
  while (!rest.empty()) {
    const std::size_t name_size = rest[0];
    if (rest.size() < 1 + name_size + 4) return tampered("its keys end too early");
    auto& versions = keys[to_text(rest.subspan(1, name_size))];
    rest = rest.subspan(1 + name_size);
    const std::uint64_t count = (std::uint64_t{rest[0]} << 24) | (rest[1] << 16) | (rest[2] << 8) | rest[3];
    rest = rest.subspan(4);
    if (count > rest.size() / kKeyBytes) return tampered("its keys end too early");
    for (std::uint64_t i = 0; i < count; ++i, rest = rest.subspan(kKeyBytes)) {
      versions.emplace_back(Bytes(rest.begin(), rest.begin() + kKeyBytes));
    }
  }
  return keys;
}

}  // namespace redoubt::provider::local
