// SPDX-License-Identifier: Apache-2.0
//
// /opt/ml seen from outside through its descriptor. What is in it may have been planted by the program: no link is followed,
// only regular files are opened, nothing above the folder is reached, numbers and sizes are bounded, and every access acts
// as the sandbox's user, not as ours.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace redoubt::sandbox {

struct FolderEntry {
  std::string path;  // relative to the folder that was listed
  std::uint64_t size = 0;
};

class WorkFolder {
 public:
  WorkFolder(Fd folder, unsigned user, std::uint64_t bytes_max, std::uint64_t files_max)
      : folder_(std::move(folder)), user_(user), bytes_max_(bytes_max), files_max_(files_max) {}

  // Makes the folder and its parents.
  Status make_folder(std::string_view path);
  // Writes a new file and its parent folders; already_exists. No space left is limit_exceeded.
  Status write_input(std::string_view path, Source& contents);
  Status write_input(std::string_view path, std::string_view text);
  // Regular files below a folder, sorted; an absent folder is empty. A link, a special file or a name that isn't safe is
  // permission_denied, more files than the limit or deeper than 16 folders limit_exceeded.
  Result<std::vector<FolderEntry>> list(std::string_view path) const;
  // The names of the folders directly in a folder, sorted; anything else there is left out.
  Result<std::vector<std::string>> folders(std::string_view path) const;
  // Opens a regular file; it stays readable when the sandbox is gone.
  Result<std::unique_ptr<RandomAccess>> open(std::string_view path) const;

 private:
  Result<Fd> open_beneath(std::string_view path, int flags) const;
  Status list_into(const Fd& folder, const std::string& prefix, int depth, std::vector<FolderEntry>& out) const;

  Fd folder_;
  unsigned user_;
  std::uint64_t bytes_max_, files_max_;
};

}  // namespace redoubt::sandbox
