// SPDX-License-Identifier: Apache-2.0
#include "provider/testing/fake_stores.h"

#include <algorithm>

#include "base/check.h"

namespace redoubt::provider::testing {
namespace {

class MemoryCopy final : public RandomAccess {
 public:
  explicit MemoryCopy(Bytes bytes) : bytes_(std::move(bytes)) {}
  std::uint64_t size() const override { return bytes_.size(); }
  Status read_at(std::uint64_t offset, MutableByteView into) const override {
    if (offset > bytes_.size() || into.size() > bytes_.size() - offset) {
      return fail(ErrorCode::invalid_argument, "read beyond the end of an object");
    }
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
    return {};
  }

 private:
  Bytes bytes_;
};

Status check_key(std::string_view key) {
  if (!is_object_key(key)) return fail(ErrorCode::invalid_argument, "not a key for an object", std::string(key));
  return {};
}

tl::unexpected<Error> absent(std::string_view what) { return fail(ErrorCode::not_found, "not there", std::string(what)); }

}  // namespace

Status FakeObjectStore::put(std::string_view key, Source& contents, PutMode mode) {
  TRY(check_key(key));
  auto bytes = TRY(read_all(contents, UINT64_MAX));
  const std::lock_guard lock(mutex_);
  if (mode == PutMode::create_only && objects_.contains(key)) {
    return fail(ErrorCode::already_exists, "the key is taken", std::string(key));
  }
  objects_.insert_or_assign(std::string(key), std::move(bytes));
  return {};
}

Result<std::unique_ptr<RandomAccess>> FakeObjectStore::open(std::string_view key) {
  TRY(check_key(key));
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  if (found == objects_.end()) return absent(key);
  return std::make_unique<MemoryCopy>(found->second);
}

Result<std::vector<std::string>> FakeObjectStore::list(std::string_view prefix) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> keys;
  for (const auto& [key, bytes] : objects_) {
    if (key.starts_with(prefix)) keys.push_back(key);
  }
  return keys;
}

Status FakeObjectStore::remove(std::string_view key) {
  TRY(check_key(key));
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  if (found == objects_.end()) return absent(key);
  objects_.erase(found);
  return {};
}

Bytes& FakeObjectStore::bytes_of(std::string_view key) {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  CHECK(found != objects_.end());
  return found->second;
}

Result<SecretInfo> FakeSecretStore::put(std::string_view name, const Secret& value) {
  TRY(check_secret(name, value));
  const std::lock_guard lock(mutex_);
  auto& entry = entries_[std::string(name)];
  entry.info = {std::string(name), entry.info.version + 1, clock_.now()};
  entry.previous = std::move(entry.current);
  entry.current = value;
  return entry.info;
}

Result<Secret> FakeSecretStore::get(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return absent(name);
  return found->second.current;
}

Result<Secret> FakeSecretStore::get_previous(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second.previous.empty()) return absent(name);
  return found->second.previous;
}

Result<std::vector<SecretInfo>> FakeSecretStore::list() {
  const std::lock_guard lock(mutex_);
  std::vector<SecretInfo> infos;
  for (const auto& [name, entry] : entries_) infos.push_back(entry.info);
  return infos;
}

Result<std::optional<TimePoint>> FakeSecretStore::remove(std::string_view name, Removal) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return absent(name);
  entries_.erase(found);
  return std::nullopt;
}

Result<std::optional<SecretInfo>> FakeSecretStore::rotate(std::string_view) { return std::nullopt; }

}  // namespace redoubt::provider::testing
