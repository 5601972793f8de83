// SPDX-License-Identifier: Apache-2.0
//
// A folder of models, OWNER/NAME/..., as the repositories of a Hub: each with one revision, whose commit id is made of its
// contents. What is given out has been hashed and scanned as it lies there now; a file that changes afterwards is looked at
// again before anybody gets it.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/json.h"
#include "hub/guarded_file.h"

namespace redoubt::hub {

struct RepositoryFile {
  std::string path;  // relative, with '/'
  std::uint64_t size = 0;
  Digest sha256;
  std::string blob_id;   // git's id: of the contents, or of the LFS pointer for a large file
  bool large = false;    // kept by LFS, as the Hub does with weights
  std::uint64_t pointer_size = 0;  // of the LFS pointer, for a large file
  std::filesystem::path location;  // where its bytes lie
  FileIdentity identity;           // of the file there when it was hashed
  std::string etag() const { return large ? sha256.hex() : blob_id; }
};

struct Repository {
  std::string id;      // "OWNER/NAME"
  std::string commit;  // 40 hexadecimal digits
  std::string modified;  // RFC 3339
  std::vector<RepositoryFile> files;
  std::vector<std::string> findings;  // of the scan; none: it may be served

  const RepositoryFile* find(std::string_view path) const;
};

// Looks at all files of a repository and answers what is wrong with them; errors are errors of reading.
using Scan = std::function<Result<std::vector<std::string>>(const Repository& repository)>;

bool is_repository_name(const std::string& text);  // of an owner, or of a model
// Files whose path has a part that begins with '.' are never served.
bool is_hidden(const std::string& path);
// The SHA-256 over what stands in a repository, cut to the length of a git id.
std::string commit_of(const std::vector<RepositoryFile>& files);
// Hashes what lies at `location`; the identity is that of the file before and after.
Result<RepositoryFile> look_at(const std::filesystem::path& location, const std::string& path);

// Safe to call from several threads.
class Repositories {
 public:
  struct Options {
    std::filesystem::path root;
    std::filesystem::path state;  // a folder for what the scans said
    Scan scan;
    std::string scanner;          // its version: another one looks again
  };
  explicit Repositories(Options options) : options_(std::move(options)) {}

  // What the last look at a repository said, if all its files are still those: quick. Nothing where they have to be looked at.
  std::optional<Repository> ready(const std::string& owner, const std::string& name);
  // not_found for a name that is no repository here, or is none at all. A repository that holds a link is invalid_argument: a
  // link could lead out of the folder. One with findings is an answer, too: see Repository::findings. May read every file, so
  // it takes its time; callers for one repository wait for one look at it.
  Result<Repository> open(const std::string& owner, const std::string& name);
  // Whether a folder of that name is there, whatever it holds.
  bool has_folder(const std::string& owner, const std::string& name) const;
  // All repositories of the folder, scanned or not: (owner, name).
  std::vector<std::pair<std::string, std::string>> names() const;

 private:
  struct Entry {
    std::mutex looking;
    std::mutex mutex;  // guards what follows
    std::optional<Repository> known;
    bool was_loaded = false;
  };
  std::shared_ptr<Entry> entry_of(const std::string& id);
  Result<std::vector<std::string>> paths_of(const std::string& id) const;
  bool is_unchanged(const Repository& repository) const;
  Result<Repository> look(const std::string& id, const std::optional<Repository>& before);
  std::optional<Repository> load_state(const std::string& id) const;
  void save_state(const Repository& repository) const;
  std::filesystem::path state_file(const std::string& id) const;

  Options options_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
};

}  // namespace redoubt::hub
