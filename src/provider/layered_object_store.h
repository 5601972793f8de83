// SPDX-License-Identifier: Apache-2.0
//
// A store with others behind it: what is written goes to the replica too, and what was moved to the archive is still read. The first
// store alone decides whether a write succeeded: a replica that is away lags, and says so.
#pragma once

#include <functional>
#include <string>

#include "provider/object_store.h"

namespace redoubt::provider {

class LayeredObjectStore final : public ObjectStore {
 public:
  struct Layers {
    ObjectStore* replica = nullptr;  // null: none
    ObjectStore* archive = nullptr;
    std::function<void(std::string_view key, const Error&)> on_lag = [](std::string_view, const Error&) {};
  };
  // All must outlive it.
  LayeredObjectStore(ObjectStore& first, Layers layers) : first_(first), layers_(std::move(layers)) {}

  Status put(std::string_view key, Source& contents, PutMode mode) override;
  // The archive's where the first store has none.
  Result<std::unique_ptr<RandomAccess>> open(std::string_view key) override;
  // Of the first store alone, as `remove` is: the vault's rules say when a copy goes.
  Result<std::vector<std::string>> list(std::string_view prefix) override { return first_.list(prefix); }
  Status remove(std::string_view key) override { return first_.remove(key); }
  Status adopt(std::string_view key, const std::filesystem::path& file) override;

 private:
  Status copy_on(std::string_view key);
  ObjectStore& first_;
  Layers layers_;
};

}  // namespace redoubt::provider
