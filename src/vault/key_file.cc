// SPDX-License-Identifier: Apache-2.0
#include "vault/key_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "crypto/random.h"

namespace redoubt::vault {
namespace {

constexpr std::string_view kPrefix = "redoubt-key-1:";
constexpr std::size_t kKeyBytes = 32;

Status check_owner(const struct stat& info, const std::string& path) {
  if (!S_ISREG(info.st_mode)) return fail(ErrorCode::permission_denied, "a key file must be a regular file", path);
  if (info.st_uid != ::geteuid()) {
    return fail(ErrorCode::permission_denied, "the key file belongs to another user", path,
                "run as its owner, or make the file your own with chown");
  }
  if ((info.st_mode & 077) != 0) {
    return fail(ErrorCode::permission_denied, "the key file is open to other users", path,
                "close it with 'chmod 600 " + path + "'; if others could read it, make a new key");
  }
  return {};
}

}  // namespace

Result<Secret> make_key_file(const std::filesystem::path& path) {
  TRY(make_folder(path.parent_path()));
  auto key = crypto::random_secret(kKeyBytes);
  auto text = std::string(kPrefix) + to_base64url(key.reveal(SecretAccess::for_storage())) + "\n";
  auto file = TRY(AtomicFile::create(path));
  TRY(file->write(view_of(text)));
  wipe_memory({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
  TRY(file->commit_new());
  return key;
}

Result<Secret> read_key_file(const std::filesystem::path& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd && errno == ELOOP) return fail(ErrorCode::permission_denied, "a key file must not be a link", path.string());
  if (!fd) return fail_errno(errno, "open the key file", path.string());
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail_errno(errno, "look at the key file", path.string());
  TRY(check_owner(info, path.string()));
  Secret text = Secret::of_size(256);
  const auto buffer = text.writable(SecretAccess::for_storage());
  const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
  if (count < 0) return fail_errno(errno, "read the key file", path.string());
  auto line = text_of(buffer.first(static_cast<std::size_t>(count)));
  if (line.ends_with('\n')) line.remove_suffix(1);
  auto key = line.starts_with(kPrefix) ? from_base64url(line.substr(kPrefix.size())) : Result<Bytes>(Bytes{});
  if (!key || key->size() != kKeyBytes) {
    return fail(ErrorCode::invalid_argument, "not a key file of Redoubt", path.string(), "restore it from your backup");
  }
  return Secret(std::move(*key));
}

}  // namespace redoubt::vault
