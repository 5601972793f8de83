// SPDX-License-Identifier: Apache-2.0
//
// The embedded ObjectStore: a folder in which an object is a file, mode 0600, under its key as path. What a killed process
// left half-written starts with '.', is never listed, and goes with `remove_leftovers`.
#pragma once

#include <filesystem>
#include <memory>

#include "provider/object_store.h"

namespace redoubt::provider::local {

class LocalObjectStore final : public ObjectStore {
 public:
  // Makes the folder where it is missing.
  static Result<std::unique_ptr<LocalObjectStore>> open(std::filesystem::path folder);

  Status put(std::string_view key, Source& contents, PutMode mode) override;
  Result<std::unique_ptr<RandomAccess>> open(std::string_view key) override;
  Result<std::vector<std::string>> list(std::string_view prefix) override;
  Status remove(std::string_view key) override;
  Status adopt(std::string_view key, const std::filesystem::path& file) override;

  // Removes the temporary files of processes that are dead; answers how many.
  Result<int> remove_leftovers();

 private:
  explicit LocalObjectStore(std::filesystem::path folder) : folder_(std::move(folder)) {}
  Result<std::filesystem::path> path_of(std::string_view key) const;
  std::filesystem::path folder_;
};

}  // namespace redoubt::provider::local
