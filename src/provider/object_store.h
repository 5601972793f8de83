// SPDX-License-Identifier: Apache-2.0
//
// Opaque objects by key, as S3 has them. Guarantee: `put` is atomic and durable when it returns; a reader sees a whole object
// or none. Sealing is not this interface's work: vault/ hands it ciphertext. Safe to call from several threads and processes.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/stream.h"

namespace redoubt::provider {

enum class PutMode { create_only, replace };  // create_only answers already_exists when the key is taken

// Whether a key is one that every store takes.
bool is_object_key(std::string_view key);

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  // Keys are safe relative paths of at most 512 bytes: [A-Za-z0-9._-] parts joined by '/', none of
  // which starts with '.' (a store's own files do); else invalid_argument.
  virtual Status put(std::string_view key, Source& contents, PutMode mode) = 0;
  virtual Result<std::unique_ptr<RandomAccess>> open(std::string_view key) = 0;  // not_found
  virtual Result<std::vector<std::string>> list(std::string_view prefix) = 0;     // sorted keys that start with it
  virtual Status remove(std::string_view key) = 0;                                // not_found when absent
  // Takes a finished file of the caller's under a key that is free, as `put` with create_only, and the file is gone from where it
  // was. A store on the same disk need not copy it.
  virtual Status adopt(std::string_view key, const std::filesystem::path& file);
};

}  // namespace redoubt::provider
