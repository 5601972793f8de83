// SPDX-License-Identifier: Apache-2.0
#include "provider/local/vault_secret_store.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "crypto/hash.h"
#include "crypto/random.h"

namespace redoubt::provider::local {
namespace {

constexpr const char* kNameKeyFile = "names.key";
constexpr const char* kLockFile = ".lock";
constexpr std::uint64_t kRecordBytesMax = 2 * kSecretBytesMax + 4096;

bool is_record(std::string_view file_name) { return Digest::parse(file_name).has_value() && file_name.size() == 64; }

// A line of JSON that says how long the values are, then the values: so they pass through no JSON string.
Secret encode_record(const SecretInfo& info, const Secret& current, const Secret& previous) {
  const auto head = dump_json({{"name", info.name},
                               {"version", info.version},
                               {"changed", to_rfc3339(info.changed)},
                               {"bytes", current.size()},
                               {"previous_bytes", previous.size()}}) +
                    "\n";
  auto record = Secret::of_size(head.size() + current.size() + previous.size());
  auto into = record.writable(SecretAccess::for_storage()).begin();
  into = std::copy(head.begin(), head.end(), into);
  for (const auto* value : {&current, &previous}) {
    const auto bytes = value->reveal(SecretAccess::for_storage());
    into = std::copy(bytes.begin(), bytes.end(), into);
  }
  return record;
}

struct RecordParts {
  SecretInfo info;
  Secret current, previous;
};

Result<RecordParts> parse_record(const Secret& record) {
  const auto bytes = record.reveal(SecretAccess::for_storage());
  const auto text = text_of(bytes);
  const auto line = text.find('\n');
  if (line == text.npos) return fail(ErrorCode::tampered, "not a secret's record");
  const auto head = TRY(parse_json(text.substr(0, line), "secret", {.bytes_max = 4096, .depth_max = 2}));
  const auto size = TRY(json_integer(head, "bytes", "secret")), before = TRY(json_integer(head, "previous_bytes", "secret"));
  const auto values = bytes.subspan(line + 1);
  if (size < 0 || before < 0 || static_cast<std::uint64_t>(size) + static_cast<std::uint64_t>(before) != values.size()) {
    return fail(ErrorCode::tampered, "not a secret's record");
  }
  RecordParts parts;
  parts.info.name = TRY(json_string(head, "name", "secret"));
  parts.info.version = static_cast<int>(TRY(json_integer(head, "version", "secret")));
  parts.info.changed = TRY(parse_rfc3339(TRY(json_string(head, "changed", "secret"))));
  parts.current = Secret(Bytes(values.begin(), values.begin() + size));
  parts.previous = Secret(Bytes(values.begin() + size, values.end()));
  return parts;
}

tl::unexpected<Error> absent(std::string_view name) {
  return fail(ErrorCode::not_found, "no such secret", std::string(name), "see the names with 'redoubt secret list'");
}

}  // namespace

Result<std::unique_ptr<VaultSecretStore>> VaultSecretStore::open(Options options, const Clock& clock) {
  TRY(make_folder(options.folder));
  std::unique_ptr<VaultSecretStore> store(new VaultSecretStore(std::move(options), clock));
  TRY(store->load_name_key());
  return store;
}

bool VaultSecretStore::is_file_name(std::string_view name) { return name == kNameKeyFile || is_record(name); }

Status VaultSecretStore::load_name_key() {
  const auto lock = TRY(FileLock::acquire(options_.folder / kLockFile));
  const auto file = sealed_file(kNameKeyFile);
  if (file.exists()) {
    name_key_ = Secret(TRY(file.read()));
    return {};
  }
  const auto names = TRY(list_folder(options_.folder));
  if (std::any_of(names.begin(), names.end(), is_record)) {
    return fail(ErrorCode::tampered, "the key of the secrets' names is missing", (options_.folder / kNameKeyFile).string(),
                "restore it from your backup");
  }
  name_key_ = crypto::random_secret(32);
  return file.write(name_key_.reveal(SecretAccess::for_storage()));
}

std::string VaultSecretStore::file_name(std::string_view name) const {
  return crypto::hmac_sha256(name_key_, view_of(name)).hex();
}

vault::SealedFile VaultSecretStore::sealed_file(const std::string& file_name) const {
  return {options_.folder / file_name,
          options_.key,
          {{"workspace", options_.workspace}, {"kind", "secret"}, {"name", file_name}},
          kRecordBytesMax,
          options_.before_write};
}

Result<VaultSecretStore::Record> VaultSecretStore::read_file_named(const std::string& name) const {
  const Secret plain(TRY(sealed_file(name).read()));
  auto parts = parse_record(plain);
  if (!parts || file_name(parts->info.name) != name) {
    return fail(ErrorCode::tampered, "not a secret's record", (options_.folder / name).string());
  }
  return Record{std::move(parts->info), std::move(parts->current), std::move(parts->previous)};
}

Result<VaultSecretStore::Record> VaultSecretStore::read(std::string_view name) const {
  auto record = read_file_named(file_name(name));
  if (!record && record.error().code == ErrorCode::not_found && !sealed_file(file_name(name)).exists()) return absent(name);
  return record;
}

Result<SecretInfo> VaultSecretStore::put(std::string_view name, const Secret& value) {
  TRY(check_secret(name, value));
  const auto lock = TRY(FileLock::acquire(options_.folder / kLockFile));
  auto before = read(name);
  if (!before && before.error().code != ErrorCode::not_found) return fail(before.error());
  const Record old = before ? std::move(*before) : Record{};
  const SecretInfo info{std::string(name), old.info.version + 1, clock_.now()};
  const auto record = encode_record(info, value, old.current);
  TRY(sealed_file(file_name(name)).write(record.reveal(SecretAccess::for_storage())));
  return info;
}

Result<Secret> VaultSecretStore::get(std::string_view name) { return TRY(read(name)).current; }

Result<Secret> VaultSecretStore::get_previous(std::string_view name) {
  auto record = TRY(read(name));
  if (record.previous.empty()) return fail(ErrorCode::not_found, "the secret has no version before", std::string(name));
  return std::move(record.previous);
}

Result<std::vector<SecretInfo>> VaultSecretStore::list() {
  std::vector<SecretInfo> infos;
  for (const auto& name : TRY(list_folder(options_.folder))) {
    if (is_record(name)) infos.push_back(TRY(read_file_named(name)).info);
  }
  std::sort(infos.begin(), infos.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return infos;
}

Result<std::optional<TimePoint>> VaultSecretStore::remove(std::string_view name, Removal) {
  const auto lock = TRY(FileLock::acquire(options_.folder / kLockFile));
  const auto path = options_.folder / file_name(name);
  std::error_code ignored;
  if (options_.before_write && std::filesystem::exists(path, ignored)) TRY(options_.before_write(path, {}));
  if (::unlink(path.c_str()) != 0) return errno == ENOENT ? absent(name) : fail_errno(errno, "remove", path.string());
  TRY(sync_folder(options_.folder));
  return std::nullopt;
}

Result<std::optional<SecretInfo>> VaultSecretStore::rotate(std::string_view) { return std::nullopt; }

Result<std::vector<UnreadableSecret>> VaultSecretStore::verify_all() {
  std::vector<UnreadableSecret> found;
  for (const auto& name : TRY(list_folder(options_.folder))) {
    if (!is_record(name)) continue;
    if (const auto record = read_file_named(name); !record) found.push_back({name, record.error()});
  }
  return found;
}

}  // namespace redoubt::provider::local
