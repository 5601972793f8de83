// SPDX-License-Identifier: Apache-2.0
//
// A folder that appears whole or not at all.
#pragma once

#include <filesystem>

#include "base/file.h"

namespace redoubt {

// Written beside its final place, which it takes in one rename; dropped before that, nothing is left. Its lock ends with its
// process, so that the next one of the same place removes what nobody writes any more.
class NewFolder {
 public:
  // already_exists where the place holds something.
  static Result<NewFolder> create(const std::filesystem::path& asked);
  NewFolder(NewFolder&& other) noexcept;
  NewFolder& operator=(NewFolder&&) = delete;
  ~NewFolder();

  // Where to write.
  const std::filesystem::path& path() const { return path_; }
  Status commit();

 private:
  NewFolder(std::filesystem::path place, std::filesystem::path path, Fd held);
  std::filesystem::path place_, path_;
  Fd lock_;
};

}  // namespace redoubt
