// SPDX-License-Identifier: Apache-2.0
#include "hub/repository.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/clock.h"
#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::hub {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kSmallBytesMax = 1 << 20;

bool is_name(const std::string& text) {
  const auto allowed = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.'; };
  return !text.empty() && text.size() <= 96 && text[0] != '.' && std::all_of(text.begin(), text.end(), allowed);
}

bool is_hidden(const std::string& path) { return path.front() == '.' || path.find("/.") != path.npos; }

// As the Hub's default .gitattributes decides: weights by their ending, and whatever is large.
bool is_large(const std::string& path, std::uint64_t size) {
  return size > kSmallBytesMax || path.ends_with(".safetensors") || path.ends_with(".gguf") || path.ends_with(".bin");
}

std::string lfs_pointer(const Digest& digest, std::uint64_t size) {
  return fmt::format("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n", digest.hex(), size);
}

}  // namespace

const RepositoryFile* Repository::find(std::string_view path) const {
  const auto found = std::find_if(files.begin(), files.end(), [&](const RepositoryFile& file) { return file.path == path; });
  return found == files.end() ? nullptr : &*found;
}

Result<RepositoryFile> Repositories::hash(const fs::path& path, const std::string& relative) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return fail_errno(errno, "look at", path.string());
  const std::int64_t modified = info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
  const auto size = static_cast<std::uint64_t>(info.st_size);
  const auto known = hashed_.find(path.string());
  if (known != hashed_.end() && known->second.size == size && known->second.modified_ns == modified) return known->second.file;
  auto reader = TRY(FileReader::open(path));
  RepositoryFile file{relative, size, {}, "", is_large(relative, size), 0};
  file.sha256 = TRY(crypto::sha256_of(*reader));
  if (file.large) {
    const std::string pointer = lfs_pointer(file.sha256, size);
    file.pointer_size = pointer.size();
    file.blob_id = crypto::git_blob_id(view_of(pointer));
  } else {
    file.blob_id = crypto::git_blob_id(TRY(read_file(path, kSmallBytesMax)));
  }
  hashed_[path.string()] = {size, modified, file};
  return file;
}

Result<Repository> Repositories::open(const std::string& owner, const std::string& name) {
  const auto missing = [&] { return fail(ErrorCode::not_found, "no such repository", owner + "/" + name); };
  std::error_code error;
  if (!is_name(owner) || !is_name(name) || !fs::is_directory(fs::symlink_status(root_ / owner / name, error))) return missing();
  const std::scoped_lock lock(mutex_);
  Repository repository{owner + "/" + name, "", "", {}};
  std::string listing;
  std::int64_t newest = 0;
  for (const auto& path : TRY(list_files(root_ / repository.id))) {
    if (is_hidden(path)) continue;
    repository.files.push_back(TRY(hash(root_ / repository.id / path, path)));
    const auto& file = repository.files.back();
    listing += fmt::format("{} {} {}\n", file.sha256.hex(), file.size, path);
    newest = std::max(newest, hashed_[(root_ / repository.id / path).string()].modified_ns);
  }
  if (repository.files.empty()) return missing();
  repository.commit = crypto::sha256(listing).hex().substr(0, 40);
  repository.modified = to_rfc3339(TimePoint{std::chrono::milliseconds(newest / 1'000'000)});
  return repository;
}

}  // namespace redoubt::hub
