// SPDX-License-Identifier: Apache-2.0
#include "hub/repository.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "crypto/hash.h"
#include "hub/repository_json.h"

namespace redoubt::hub {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kSmallBytesMax = 1 << 20;
constexpr std::size_t kLookingThreadsMax = 4;
constexpr int kLooksMax = 3;  // at a repository that changes while it is looked at
constexpr std::uint64_t kStateBytesMax = 64 << 20;

// As the Hub's default .gitattributes decides: weights by their ending, and whatever is large.
bool is_large(const std::string& path, std::uint64_t size) {
  return size > kSmallBytesMax || path.ends_with(".safetensors") || path.ends_with(".gguf") || path.ends_with(".bin");
}

std::string lfs_pointer(const Digest& digest, std::uint64_t size) {
  return fmt::format("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n", digest.hex(), size);
}

}  // namespace

bool is_repository_name(const std::string& text) {
  const auto allowed = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.'; };
  return !text.empty() && text.size() <= 96 && text[0] != '.' && std::all_of(text.begin(), text.end(), allowed);
}

bool is_hidden(const std::string& path) { return path.front() == '.' || path.find("/.") != path.npos; }

const RepositoryFile* Repository::find(std::string_view path) const {
  const auto found = std::find_if(files.begin(), files.end(), [&](const RepositoryFile& file) { return file.path == path; });
  return found == files.end() ? nullptr : &*found;
}

std::string commit_of(const std::vector<RepositoryFile>& files) {
  std::string listing;
  for (const auto& file : files) listing += fmt::format("{} {} {}\n", file.sha256.hex(), file.size, file.path);
  return crypto::sha256(listing).hex().substr(0, 40);
}

Result<RepositoryFile> look_at(const fs::path& location, const std::string& path) {
  RepositoryFile file;
  file.path = path;
  file.location = location;
  file.identity = TRY(identity_of(location));
  file.size = file.identity.size;
  file.large = is_large(path, file.size);
  const auto guarded = TRY(GuardedFile::open(location, file.identity));
  RandomAccessSource source(*guarded);
  if (file.large) {
    file.sha256 = TRY(crypto::sha256_of(source));
    const std::string pointer = lfs_pointer(file.sha256, file.size);
    file.pointer_size = pointer.size();
    file.blob_id = crypto::git_blob_id(view_of(pointer));
  } else {
    const Bytes bytes = TRY(read_all(source, kSmallBytesMax));
    file.sha256 = crypto::sha256(bytes);
    file.blob_id = crypto::git_blob_id(bytes);
  }
  return file;
}

std::shared_ptr<Repositories::Entry> Repositories::entry_of(const std::string& id) {
  const std::scoped_lock lock(mutex_);
  auto& entry = entries_[id];
  if (entry == nullptr) entry = std::make_shared<Entry>();
  return entry;
}

Result<std::vector<std::string>> Repositories::paths_of(const std::string& id) const {
  std::error_code error;
  const auto owner = options_.root / id.substr(0, id.find('/'));
  const bool is_there = fs::is_directory(fs::symlink_status(owner, error)) && fs::is_directory(fs::symlink_status(options_.root / id, error));
  if (!is_there) return fail(ErrorCode::not_found, "no such repository", id);
  auto paths = TRY(list_files(options_.root / id));
  std::erase_if(paths, is_hidden);
  if (paths.empty()) return fail(ErrorCode::not_found, "no such repository", id);
  return paths;
}

bool Repositories::has_folder(const std::string& owner, const std::string& name) const {
  std::error_code error;
  return fs::exists(fs::symlink_status(options_.root / owner / name, error));
}

bool Repositories::is_unchanged(const Repository& repository) const {
  const auto paths = paths_of(repository.id);
  if (!paths || paths->size() != repository.files.size()) return false;
  for (std::size_t i = 0; i < paths->size(); ++i) {
    const auto& file = repository.files[i];
    if (file.path != (*paths)[i]) return false;
    const auto identity = identity_of(file.location);
    if (!identity || *identity != file.identity) return false;
  }
  return true;
}

std::optional<Repository> Repositories::ready(const std::string& owner, const std::string& name) {
  if (!is_repository_name(owner) || !is_repository_name(name)) return std::nullopt;
  const auto entry = entry_of(owner + "/" + name);
  std::optional<Repository> known;
  {
    const std::scoped_lock lock(entry->mutex);
    known = entry->known;
  }
  if (!known || !is_unchanged(*known)) return std::nullopt;
  return known;
}

Result<Repository> Repositories::open(const std::string& owner, const std::string& name) {
  if (!is_repository_name(owner) || !is_repository_name(name)) return fail(ErrorCode::not_found, "no such repository", owner + "/" + name);
  const std::string id = owner + "/" + name;
  TRY(paths_of(id));  // before an entry is made: names that are none are not remembered
  const auto entry = entry_of(id);
  const std::scoped_lock one_look(entry->looking);
  if (auto known = ready(owner, name)) return std::move(*known);
  std::optional<Repository> before;
  {
    const std::scoped_lock lock(entry->mutex);
    if (!entry->was_loaded) entry->known = load_state(id);
    entry->was_loaded = true;
    before = entry->known;
  }
  if (before && is_unchanged(*before)) return std::move(*before);
  for (int look_number = 0; look_number < kLooksMax; ++look_number) {
    auto repository = TRY(look(id, before));
    if (!is_unchanged(repository)) continue;
    save_state(repository);
    const std::scoped_lock lock(entry->mutex);
    entry->known = repository;
    return repository;
  }
  return fail(ErrorCode::unavailable, "the repository changes while it is looked at", id, "wait until it is copied, then ask again");
}

Result<Repository> Repositories::look(const std::string& id, const std::optional<Repository>& before) {
  const auto paths = TRY(paths_of(id));
  Repository repository{.id = id, .commit = "", .modified = "", .files = std::vector<RepositoryFile>(paths.size()), .findings = {}};
  TRY(for_each_in_parallel(paths.size(), threads_at_most(kLookingThreadsMax), [&](std::size_t index) -> Status {
    const auto location = options_.root / id / paths[index];
    const RepositoryFile* known = before ? before->find(paths[index]) : nullptr;
    const bool is_same = known != nullptr && TRY(identity_of(location)) == known->identity;
    repository.files[index] = is_same ? *known : TRY(look_at(location, paths[index]));
    return {};
  }));
  std::int64_t newest = 0;
  for (const auto& file : repository.files) newest = std::max(newest, file.identity.modified_ns);
  repository.commit = commit_of(repository.files);
  repository.modified = to_rfc3339(TimePoint{std::chrono::milliseconds(newest / 1'000'000)});
  if (before && before->commit == repository.commit) {
    repository.findings = before->findings;
  } else {
    repository.findings = TRY(options_.scan(repository));
    for (const auto& finding : repository.findings) spdlog::warn("hub: {} is not served: {}", id, finding);
  }
  return repository;
}

std::vector<std::pair<std::string, std::string>> Repositories::names() const {
  std::vector<std::pair<std::string, std::string>> found;
  const auto owners = list_folder(options_.root);
  for (const auto& owner : owners ? *owners : std::vector<std::string>{}) {
    std::error_code error;
    if (!is_repository_name(owner) || !fs::is_directory(fs::symlink_status(options_.root / owner, error))) continue;
    const auto models = list_folder(options_.root / owner);
    for (const auto& model : models ? *models : std::vector<std::string>{}) {
      if (is_repository_name(model) && fs::is_directory(fs::symlink_status(options_.root / owner / model, error))) found.emplace_back(owner, model);
    }
  }
  return found;
}

fs::path Repositories::state_file(const std::string& id) const { return options_.state / "scans" / (id + ".json"); }

std::optional<Repository> Repositories::load_state(const std::string& id) const {
  const auto text = read_text_file(state_file(id), kStateBytesMax);
  if (!text) return std::nullopt;
  auto repository = parse_repository(*text, options_.scanner, state_file(id).string());
  if (!repository || repository->id != id || repository->commit != commit_of(repository->files)) return std::nullopt;  // looked at anew
  for (auto& file : repository->files) file.location = options_.root / id / file.path;
  return std::move(*repository);
}

// What can't be remembered is looked at again after the next start.
void Repositories::save_state(const Repository& repository) const {
  const auto file = state_file(repository.id);
  const auto saved = [&]() -> Status {
    TRY(make_folder(file.parent_path()));
    return write_file(file, to_text(repository, options_.scanner));
  }();
  if (!saved) spdlog::warn("hub: the scan of {} can't be remembered: {}", repository.id, saved.error().message);
}

}  // namespace redoubt::hub
