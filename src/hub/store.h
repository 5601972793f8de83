// SPDX-License-Identifier: Apache-2.0
//
// Models that the mirror keeps itself (docs/formats/hub.md): those that were uploaded, or fetched from another hub. Contents lie
// under their SHA-256, commits name them, and branches and tags name commits. A commit is added once its files were scanned,
// so whatever can be reached through it has passed.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "hub/repository.h"

namespace redoubt::hub {

struct Commit {
  Repository repository;  // its id, its commit, when it was made, its files
  std::string parent;     // empty: the first
  std::string title, message, author;
};

struct Refs {
  std::map<std::string, std::string> branches, tags;  // name -> commit
  std::string checked;  // when an upstream's branches were last asked for, RFC 3339; empty: never
};

// A branch's or tag's name, as git takes it: letters, digits, "-_./+", and no way out of a folder.
bool is_ref_name(std::string_view text);
bool is_commit_id(std::string_view text);  // 40 hexadecimal digits
bool is_short_commit_id(std::string_view text);  // seven of them at least, as git shortens them

// Safe to call from several threads; writers of one repository take turns by `lock`.
class Store {
 public:
  explicit Store(std::filesystem::path folder) : folder_(std::move(folder)) {}

  bool has(const std::string& id) const;  // whether the repository is kept here
  std::vector<std::string> names() const;
  Result<Refs> refs(const std::string& id) const;
  Status put_refs(const std::string& id, const Refs& refs);
  // The commit that a branch, a tag or a commit's id names; not_found. Files whose bytes are no longer those of their digest are
  // tampered: nothing of the commit is served.
  Result<Commit> commit(const std::string& id, const std::string& revision);
  Result<std::string> resolve(const std::string& id, const std::string& revision) const;
  // The same where nothing has to be hashed for it: quick.
  std::optional<Commit> ready(const std::string& id, const std::string& revision);
  // The commit and those before it, at most `count`.
  Result<std::vector<Commit>> history(const std::string& id, const std::string& revision, std::size_t count);
  // Writes the commit's record; unavailable where a file of it is not there any more.
  Status put_commit(const Commit& commit);
  // Removes those contents that no commit names.
  Status discard(const std::vector<Digest>& digests);

  // Contents. What comes in is written beside and counts once `keep` has put it under its digest.
  std::filesystem::path blob(const Digest& digest) const;
  bool has_blob(const Digest& digest) const;
  std::filesystem::path incoming() const { return folder_ / "incoming"; }
  // Moves a file of incoming() under its digest, which is computed from its bytes; answers what it is, as `path` of a repository.
  Result<RepositoryFile> keep(const std::filesystem::path& file, const std::string& path);
  Result<RepositoryFile> look(const Digest& digest, const std::string& path);

  std::shared_ptr<std::mutex> lock_of(const std::string& id);

 private:
  std::vector<std::string> begun() const;  // those too that have a commit and no branch yet
  std::filesystem::path of(const std::string& id) const { return folder_ / "models" / id; }
  Result<Commit> load(const std::string& id, const std::string& commit);
  bool locate_known(Repository& repository);
  Status locate(Repository& repository);

  std::filesystem::path folder_;
  std::mutex committing_;  // so that no commit comes to name what is being removed
  std::mutex mutex_;
  std::map<std::pair<Digest, std::string>, RepositoryFile> verified_;  // blobs that were hashed, as long as they have that identity
  std::map<std::string, Commit> loaded_;  // "OWNER/NAME@commit": records never change
  std::map<std::string, std::shared_ptr<std::mutex>> locks_;
};

}  // namespace redoubt::hub
