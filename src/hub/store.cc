// SPDX-License-Identifier: Apache-2.0
#include "hub/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/parallel.h"
#include "hub/repository_json.h"

namespace redoubt::hub {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kRecordBytesMax = 64 << 20;
constexpr std::size_t kLocatingThreadsMax = 4;
constexpr std::size_t kLoadedMax = 256;
constexpr const char* kRecordedBy = "store";

std::vector<std::string> folders_of(const fs::path& path) {
  std::vector<std::string> found;
  const auto names = list_folder(path);
  for (const auto& name : names ? *names : std::vector<std::string>{}) {
    if (is_repository_name(name) && is_folder(path / name)) found.push_back(name);
  }
  return found;
}

}  // namespace

bool is_commit_id(std::string_view text) { return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == text.npos; }

bool is_short_commit_id(std::string_view text) { return text.size() >= 7 && text.size() < 40 && text.find_first_not_of("0123456789abcdef") == text.npos; }

bool is_ref_name(std::string_view text) {
  const bool is_sound = text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./+") == text.npos;
  return is_sound && !text.empty() && text.size() <= 128 && text.front() != '-' && text.front() != '.' && is_safe_relative_path(text) && !is_commit_id(text);
}

bool Store::has(const std::string& id) const { return is_plain_file(of(id) / "refs.json"); }

std::vector<std::string> Store::begun() const {
  std::vector<std::string> names;
  for (const auto& owner : folders_of(folder_ / "models")) {
    for (const auto& name : folders_of(folder_ / "models" / owner)) names.push_back(owner + "/" + name);
  }
  return names;
}

std::vector<std::string> Store::names() const {
  auto names = begun();
  std::erase_if(names, [&](const std::string& id) { return !has(id); });
  return names;
}

Result<Refs> Store::refs(const std::string& id) const {
  const auto file = of(id) / "refs.json";
  const Json json = TRY(parse_json(TRY(read_text_file(file, kRecordBytesMax)), file.string()));
  Refs refs;
  refs.checked = json_or(json, "checked", "");
  for (auto [member, into] : {std::pair("branches", &refs.branches), std::pair("tags", &refs.tags)}) {
    const Json names = TRY(json_object(json, member, file.string()));
    for (const auto& [name, commit] : names.items()) {
      const bool is_sound = is_ref_name(name) && commit.is_string() && is_commit_id(commit.get_ref<const std::string&>());
      if (!is_sound) return fail(ErrorCode::invalid_argument, "a branch or tag that names no commit", file.string());
      (*into)[name] = commit;
    }
  }
  return refs;
}

Status Store::put_refs(const std::string& id, const Refs& refs) {
  TRY(make_folder(of(id)));
  return write_file(of(id) / "refs.json", Json{{"version", 1}, {"branches", refs.branches}, {"tags", refs.tags}, {"checked", refs.checked}}.dump(1) + "\n");
}

Result<std::string> Store::resolve(const std::string& id, const std::string& revision) const {
  const auto known = TRY(refs(id));
  constexpr std::string_view kBranch = "refs/heads/", kTag = "refs/tags/";
  if (revision.starts_with(kBranch) && known.branches.contains(revision.substr(kBranch.size()))) return known.branches.at(revision.substr(kBranch.size()));
  if (revision.starts_with(kTag) && known.tags.contains(revision.substr(kTag.size()))) return known.tags.at(revision.substr(kTag.size()));
  if (known.branches.contains(revision)) return known.branches.at(revision);
  if (known.tags.contains(revision)) return known.tags.at(revision);
  if (is_commit_id(revision) && is_plain_file(of(id) / "commits" / (revision + ".json"))) return revision;
  if (is_short_commit_id(revision) && is_folder(of(id) / "commits")) {
    auto commits = TRY(list_folder(of(id) / "commits"));
    std::erase_if(commits, [&](const std::string& name) { return !name.starts_with(revision) || name.size() != 45 || !is_commit_id(name.substr(0, 40)); });
    if (commits.size() == 1) return commits[0].substr(0, 40);
  }
  return fail(ErrorCode::not_found, "no such revision", id + "@" + revision);
}

Result<Commit> Store::load(const std::string& id, const std::string& commit) {
  const std::string key = id + "@" + commit;
  {
    const std::scoped_lock lock(mutex_);
    if (const auto found = loaded_.find(key); found != loaded_.end()) return found->second;
  }
  const auto file = of(id) / "commits" / (commit + ".json");
  const auto text = TRY(read_text_file(file, kRecordBytesMax));
  Commit loaded{.repository = TRY(parse_repository(text, kRecordedBy, file.string())), .parent = "", .title = "", .message = "", .author = ""};
  const Json json = TRY(parse_json(text, file.string()));
  loaded.parent = json_or(json, "parent", "");
  loaded.title = json_or(json, "title", "");
  loaded.message = json_or(json, "message", "");
  loaded.author = json_or(json, "author", "");
  if (loaded.repository.id != id || loaded.repository.commit != commit) return fail(ErrorCode::tampered, "a commit's record is another's", file.string());
  const std::scoped_lock lock(mutex_);
  if (loaded_.size() >= kLoadedMax) loaded_.clear();
  loaded_.emplace(key, loaded);
  return loaded;
}

bool Store::locate_known(Repository& repository) {
  const std::scoped_lock lock(mutex_);
  return std::all_of(repository.files.begin(), repository.files.end(), [&](RepositoryFile& file) {
    const auto known = verified_.find({file.sha256, file.path});
    const auto identity = identity_of(blob(file.sha256));
    if (known == verified_.end() || !identity || !(known->second.identity == *identity)) return false;
    file.location = known->second.location;
    file.identity = *identity;
    return true;
  });
}

std::optional<Commit> Store::ready(const std::string& id, const std::string& revision) {
  const auto commit_id = resolve(id, revision);
  auto loaded = commit_id ? load(id, *commit_id) : Result<Commit>(fail(ErrorCode::not_found, ""));
  if (!loaded || !locate_known(loaded->repository)) return std::nullopt;
  return std::move(*loaded);
}

Status Store::locate(Repository& repository) {
  return for_each_in_parallel(repository.files.size(), threads_at_most(kLocatingThreadsMax), [&](std::size_t index) -> Status {
    auto& file = repository.files[index];
    const auto found = TRY(look(file.sha256, file.path));
    file.location = found.location;
    file.identity = found.identity;
    return {};
  });
}

Result<Commit> Store::commit(const std::string& id, const std::string& revision) {
  auto loaded = TRY(load(id, TRY(resolve(id, revision))));
  TRY(locate(loaded.repository));
  return loaded;
}

Result<std::vector<Commit>> Store::history(const std::string& id, const std::string& revision, std::size_t count) {
  std::vector<Commit> commits;
  for (std::string next = TRY(resolve(id, revision)); !next.empty() && commits.size() < count; next = commits.back().parent) {
    auto loaded = load(id, next);
    if (!loaded && !commits.empty()) break;  // an upstream's commits come without those before them
    commits.push_back(TRY(std::move(loaded)));
  }
  return commits;
}

Status Store::put_commit(const Commit& commit) {
  Json json = TRY(parse_json(to_text(commit.repository, kRecordedBy), "commit"));
  json.update(Json{{"parent", commit.parent}, {"title", commit.title}, {"message", commit.message}, {"author", commit.author}});
  const auto folder = of(commit.repository.id) / "commits";
  TRY(make_folder(folder));
  const std::scoped_lock lock(committing_);
  for (const auto& file : commit.repository.files) {
    if (!has_blob(file.sha256)) return fail(ErrorCode::unavailable, "a file of the commit was removed meanwhile", commit.repository.id + "/" + file.path, "try again");
  }
  return write_file(folder / (commit.repository.commit + ".json"), json.dump(1) + "\n");
}

Status Store::discard(const std::vector<Digest>& digests) {
  std::set<Digest> unnamed(digests.begin(), digests.end());
  const std::scoped_lock lock(committing_);
  for (const auto& id : begun()) {
    if (!is_folder(of(id) / "commits")) continue;
    for (const auto& name : TRY(list_folder(of(id) / "commits"))) {
      if (!name.ends_with(".json")) continue;
      for (const auto& file : TRY(load(id, name.substr(0, name.size() - 5))).repository.files) unnamed.erase(file.sha256);
    }
  }
  std::error_code error;
  for (const auto& digest : unnamed) fs::remove(blob(digest), error);
  return {};
}

fs::path Store::blob(const Digest& digest) const { return folder_ / "blobs" / digest.hex().substr(0, 2) / digest.hex(); }

bool Store::has_blob(const Digest& digest) const { return is_plain_file(blob(digest)); }

Result<RepositoryFile> Store::look(const Digest& digest, const std::string& path) {
  const auto identity = TRY(identity_of(blob(digest)));
  {
    const std::scoped_lock lock(mutex_);
    const auto known = verified_.find({digest, path});  // how a file is shown (as LFS or not) goes by its name, too
    if (known != verified_.end() && known->second.identity == identity) return known->second;
  }
  auto file = TRY(look_at(blob(digest), path));
  if (file.sha256 != digest) return fail(ErrorCode::tampered, "a kept file does not have the digest it is named by", blob(digest).string());
  const std::scoped_lock lock(mutex_);
  verified_[{digest, path}] = file;
  return file;
}

Result<RepositoryFile> Store::keep(const fs::path& file, const std::string& path) {
  auto looked = TRY(look_at(file, path));
  const auto place = blob(looked.sha256);
  if (has_blob(looked.sha256) && look(looked.sha256, path)) {
    std::error_code error;
    fs::remove(file, error);
    return look(looked.sha256, path);
  }
  TRY(make_folder(place.parent_path()));
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || ::fsync(fd.get()) != 0) return fail_errno(errno, "sync", file.string());
  if (::rename(file.c_str(), place.c_str()) != 0) return fail_errno(errno, "put in place", place.string());
  TRY(sync_folder(place.parent_path()));
  // The rename has changed the inode's time: what was hashed is still that, and nobody else knows the file.
  looked.location = place;
  looked.identity = TRY(identity_of(place));
  const std::scoped_lock lock(mutex_);
  verified_[{looked.sha256, path}] = looked;
  return looked;
}

std::shared_ptr<std::mutex> Store::lock_of(const std::string& id) {
  const std::scoped_lock lock(mutex_);
  auto& found = locks_[id];
  if (found == nullptr) found = std::make_shared<std::mutex>();
  return found;
}

}  // namespace redoubt::hub
