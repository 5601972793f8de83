// SPDX-License-Identifier: Apache-2.0
//
// The part of an ObjectStore whose keys start with a prefix, as a store of its own.
#pragma once

#include <string>

#include "provider/object_store.h"

namespace redoubt::provider {

class PrefixedObjectStore final : public ObjectStore {
 public:
  // `inner` must outlive it; the prefix ends with '/'.
  PrefixedObjectStore(ObjectStore& inner, std::string prefix) : inner_(inner), prefix_(std::move(prefix)) {}

  Status put(std::string_view key, Source& contents, PutMode mode) override { return inner_.put(full(key), contents, mode); }
  Result<std::unique_ptr<RandomAccess>> open(std::string_view key) override { return inner_.open(full(key)); }
  Result<std::vector<std::string>> list(std::string_view prefix) override {
    auto keys = TRY(inner_.list(full(prefix)));
    for (auto& key : keys) key.erase(0, prefix_.size());
    return keys;
  }
  Status remove(std::string_view key) override { return inner_.remove(full(key)); }
  Status adopt(std::string_view key, const std::filesystem::path& file) override { return inner_.adopt(full(key), file); }

 private:
  std::string full(std::string_view key) const { return prefix_ + std::string(key); }
  ObjectStore& inner_;
  std::string prefix_;
};

}  // namespace redoubt::provider
