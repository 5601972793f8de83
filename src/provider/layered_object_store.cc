// SPDX-License-Identifier: Apache-2.0
#include "provider/layered_object_store.h"

namespace redoubt::provider {

Status LayeredObjectStore::put(std::string_view key, Source& contents, PutMode mode) {
  TRY(first_.put(key, contents, mode));
  return copy_on(key);
}

Status LayeredObjectStore::adopt(std::string_view key, const std::filesystem::path& file) {
  TRY(first_.adopt(key, file));
  return copy_on(key);
}

Status LayeredObjectStore::copy_on(std::string_view key) {
  if (layers_.replica == nullptr) return {};
  const auto written = TRY(first_.open(key));
  RandomAccessSource sealed(*written);
  if (auto copied = layers_.replica->put(key, sealed, PutMode::replace); !copied) layers_.on_lag(key, copied.error());
  return {};
}

Result<std::unique_ptr<RandomAccess>> LayeredObjectStore::open(std::string_view key) {
  auto found = first_.open(key);
  if (found || layers_.archive == nullptr || found.error().code != ErrorCode::not_found) return found;
  auto archived = layers_.archive->open(key);
  return !archived && archived.error().code == ErrorCode::not_found ? std::move(found) : std::move(archived);
}

}  // namespace redoubt::provider
