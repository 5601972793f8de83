// SPDX-License-Identifier: Apache-2.0
//
// A folder of models, OWNER/NAME/..., as the repositories of a Hub: each with one revision, whose commit id is made of its
// contents.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"

namespace redoubt::hub {

struct RepositoryFile {
  std::string path;  // relative, with '/'
  std::uint64_t size = 0;
  Digest sha256;
  std::string blob_id;   // git's id: of the contents, or of the LFS pointer for a large file
  bool large = false;    // kept by LFS, as the Hub does with weights
  std::uint64_t pointer_size = 0;  // of the LFS pointer, for a large file
  std::string etag() const { return large ? sha256.hex() : blob_id; }
};

struct Repository {
  std::string id;      // "OWNER/NAME"
  std::string commit;  // 40 hexadecimal digits
  std::string modified;  // RFC 3339
  std::vector<RepositoryFile> files;

  const RepositoryFile* find(std::string_view path) const;
};

// Reads and hashes repositories, and remembers what it hashed until a file changes.
class Repositories {
 public:
  explicit Repositories(std::filesystem::path root) : root_(std::move(root)) {}

  // not_found for a name that is no repository here, or is none at all. A repository that holds a link is invalid_argument: a
  // link could lead out of the folder. May read every file, so it takes its time.
  Result<Repository> open(const std::string& owner, const std::string& name);
  std::filesystem::path path_of(const Repository& repository, const RepositoryFile& file) const { return root_ / repository.id / file.path; }

 private:
  struct Hashed {
    std::uint64_t size = 0;
    std::int64_t modified_ns = 0;
    RepositoryFile file;
  };
  Result<RepositoryFile> hash(const std::filesystem::path& path, const std::string& relative);

  std::filesystem::path root_;
  std::mutex mutex_;
  std::map<std::string, Hashed> hashed_;  // by whole path
};

}  // namespace redoubt::hub
