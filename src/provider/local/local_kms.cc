// SPDX-License-Identifier: Apache-2.0
#include "provider/local/local_kms.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "crypto/aes_gcm.h"
#include "crypto/random.h"

namespace redoubt::provider::local {
namespace {

constexpr std::uint8_t kWrapVersion = 1;
constexpr std::size_t kKeysBytesMax = 16 << 20, kDataKeyBytesMax = 4096, kVersionsMax = 100'000;
constexpr std::size_t kWrapHeaderBytes = 1 + 4;

Status check_context(const EncryptionContext& context) {
  if (context.empty()) return fail(ErrorCode::invalid_argument, "an encryption context may not be empty");
  return {};
}

// The key and its version come first, two pairs and no more, so no context can look like another key's.
Bytes associated_data(std::string_view key_uri, std::size_t version, const EncryptionContext& context) {
  Bytes bytes = encode_context({{"key", std::string(key_uri)}, {"version", std::to_string(version)}});
  const auto rest = encode_context(context);
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  return bytes;
}

Result<std::string> read_keyring(const std::filesystem::path& path) {
  auto text = read_text_file(path, kKeysBytesMax);
  if (!text && text.error().code == ErrorCode::not_found) {
    return fail(ErrorCode::not_found, "the keyring is not there", path.string(), "restore it from your backup");
  }
  return text;
}

// Zeros where a file's bytes lay, as far as the file system writes in place.
Status overwrite(int fd, const std::string& where) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return fail_errno(errno, "look at the old keyring", where);
  const Bytes zeros(static_cast<std::size_t>(info.st_size));
  if (::pwrite(fd, zeros.data(), zeros.size(), 0) != static_cast<ssize_t>(zeros.size()) || ::fsync(fd) != 0) return fail_errno(errno, "overwrite the old keyring", where);
  return {};
}

}  // namespace

Result<std::string_view> LocalKms::name_of(std::string_view key_uri) const {
  const auto name = key_uri.substr(std::min(options_.scheme.size(), key_uri.size()));
  const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (!key_uri.starts_with(options_.scheme) || name.empty() || name.size() > 64 || !std::all_of(name.begin(), name.end(), allowed)) {
    return fail(ErrorCode::invalid_argument, "not the URI of a local key", std::string(key_uri.substr(0, 128)),
                "write it as " + options_.scheme + "NAME with small letters, digits and '-'");
  }
  return name;
}

Result<std::unique_ptr<LocalKms>> LocalKms::create(std::filesystem::path file, const Unlock& unlock, Options options) {
  std::unique_ptr<LocalKms> kms(new LocalKms(std::move(file), crypto::random_secret(32), std::move(options)));
  TRY(lock_root(kms->root_, unlock, kms->file_));
  kms->file_.keys = seal_keys({}, kms->root_);
  auto out = TRY(AtomicFile::create(kms->path_));
  TRY(out->write(view_of(encode_keyring(kms->file_))));
  TRY(out->commit_new());
  kms->loaded_ = TRY(kms->identity());
  return kms;
}

Result<std::unique_ptr<LocalKms>> LocalKms::open(std::filesystem::path file, const Unlock& unlock, Options options) {
  const auto sections = TRY(parse_keyring(TRY(read_keyring(file))));
  auto root = TRY(unlock_root(sections, unlock));
  std::unique_ptr<LocalKms> kms(new LocalKms(std::move(file), std::move(root), std::move(options)));
  TRY(kms->refresh());
  return kms;
}

Result<UnlockKind> LocalKms::unlock_kind(const std::filesystem::path& file) {
  return TRY(parse_keyring(TRY(read_keyring(file)))).lock.kind;
}

Result<LocalKms::Identity> LocalKms::identity() const {
  struct stat info {};
  if (::stat(path_.c_str(), &info) != 0) return fail_errno(errno, "look at the keyring", path_.string());
  return Identity{info.st_dev, info.st_ino, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
}

Status LocalKms::refresh() {
  const auto now = TRY(identity());
  if (now == loaded_) return {};
  auto file = TRY(parse_keyring(TRY(read_keyring(path_))));
  keys_ = TRY(open_keys(file.keys, root_));
  file_ = std::move(file);
  loaded_ = now;
  return {};
}

template <class Change>
Status LocalKms::change(Change change) {
  const auto lock = TRY(FileLock::acquire(path_.string() + ".lock"));
  const std::lock_guard guard(mutex_);
  TRY(refresh());
  auto keys = keys_;
  auto file = file_;
  TRY(change(keys, file));
  file.keys = seal_keys(keys, root_);
  TRY(write_file(path_, encode_keyring(file)));
  keys_ = std::move(keys);
  file_ = std::move(file);
  loaded_ = TRY(identity());
  return {};
}

Result<const std::vector<Secret>*> LocalKms::find(std::string_view key_uri) {
  const auto name = TRY(name_of(key_uri));
  const auto found = keys_.find(name);
  if (found == keys_.end()) return fail(ErrorCode::not_found, "no such key in the keyring", std::string(key_uri));
  if (found->second.empty()) return fail(ErrorCode::not_found, "the key was destroyed", std::string(key_uri));
  return &found->second;
}

Result<Bytes> LocalKms::wrap(std::string_view key_uri, const Secret& data_key, const EncryptionContext& context) {
  TRY(check_context(context));
  if (data_key.empty() || data_key.size() > kDataKeyBytesMax) {
    return fail(ErrorCode::invalid_argument, "a data key has 1 to 4096 bytes");
  }
  const std::lock_guard guard(mutex_);
  TRY(refresh());
  const auto* versions = TRY(find(key_uri));
  Bytes wrapped{kWrapVersion};
  for (int shift = 24; shift >= 0; shift -= 8) wrapped.push_back(static_cast<std::uint8_t>(versions->size() >> shift));
  const auto nonce = crypto::random_bytes(crypto::kAesGcmNonceBytes);
  const auto sealed = crypto::aes_gcm_seal(versions->back(), nonce, data_key.reveal(SecretAccess::for_crypto()),
                                           associated_data(key_uri, versions->size(), context));
  wrapped.insert(wrapped.end(), nonce.begin(), nonce.end());
  wrapped.insert(wrapped.end(), sealed.begin(), sealed.end());
  return wrapped;
}

Result<Secret> LocalKms::unwrap(std::string_view key_uri, ByteView wrapped, const EncryptionContext& context) {
  TRY(check_context(context));
  const std::lock_guard guard(mutex_);
  TRY(refresh());
  const auto* versions = TRY(find(key_uri));
  if (wrapped.size() < kWrapHeaderBytes + crypto::kAesGcmNonceBytes || wrapped[0] != kWrapVersion) {
    return fail(ErrorCode::tampered, "not a wrapped data key");
  }
  const std::size_t version = (std::size_t{wrapped[1]} << 24) | (wrapped[2] << 16) | (wrapped[3] << 8) | wrapped[4];
  if (version == 0 || version > versions->size()) {
    return fail(ErrorCode::tampered, "wrapped under a version that never was, or keyring.json is an older one that was put back", {}, "restore keyring.json from your backup");
  }
  return Secret(TRY(crypto::aes_gcm_open(
      (*versions)[version - 1], wrapped.subspan(kWrapHeaderBytes, crypto::kAesGcmNonceBytes),
      wrapped.subspan(kWrapHeaderBytes + crypto::kAesGcmNonceBytes), associated_data(key_uri, version, context))));
}

Status LocalKms::create_key(std::string_view key_uri) {
  const auto name = TRY(name_of(key_uri));
  return change([&](KeyVersions& keys, KeyringFile&) -> Status {
    const auto [place, is_new] = keys.try_emplace(std::string(name));
    if (!is_new) return fail(ErrorCode::already_exists, "the key exists or was destroyed", std::string(key_uri));
    place->second.push_back(crypto::random_secret(crypto::kAesGcmKeyBytes));
    return {};
  });
}

Status LocalKms::rotate_key(std::string_view key_uri) {
  return change([&](KeyVersions& keys, KeyringFile&) -> Status {
    TRY(find(key_uri));
    auto& versions = keys.find(TRY(name_of(key_uri)))->second;
    if (versions.size() >= kVersionsMax) return fail(ErrorCode::limit_exceeded, "too many versions", std::string(key_uri));
    versions.push_back(crypto::random_secret(crypto::kAesGcmKeyBytes));
    return {};
  });
}

Status LocalKms::destroy_key(std::string_view key_uri) {
  const Fd before(options_.overwrite_destroyed ? ::open(path_.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1);
  TRY(change([&](KeyVersions& keys, KeyringFile&) -> Status {
    TRY(find(key_uri));
    keys.find(TRY(name_of(key_uri)))->second.clear();
    return {};
  }));
  return before ? overwrite(before.get(), path_.string()) : Status{};
}

Result<bool> LocalKms::is_destroyed(std::string_view key_uri) {
  const std::lock_guard guard(mutex_);
  TRY(refresh());
  const auto found = keys_.find(TRY(name_of(key_uri)));
  return found != keys_.end() && found->second.empty();
}

Status LocalKms::change_unlock(const Unlock& next) {
  return change([&](KeyVersions&, KeyringFile& file) { return lock_root(root_, next, file); });
}

bool LocalKms::is_current(std::string_view key_uri, ByteView wrapped) {
  const std::lock_guard guard(mutex_);
  if (!refresh() || wrapped.size() < kWrapHeaderBytes || wrapped[0] != kWrapVersion) return false;
  const auto versions = find(key_uri);
  const std::size_t version = (std::size_t{wrapped[1]} << 24) | (wrapped[2] << 16) | (wrapped[3] << 8) | wrapped[4];
  return versions && version == (*versions)->size();
}

Result<std::map<std::string, std::size_t>> LocalKms::versions() {
  const std::lock_guard guard(mutex_);
  TRY(refresh());
  std::map<std::string, std::size_t> newest;
  for (const auto& [name, versions] : keys_) {
    if (!versions.empty()) newest[name] = versions.size();
  }
  return newest;
}

}  // namespace redoubt::provider::local
