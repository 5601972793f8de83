// SPDX-License-Identifier: Apache-2.0
//
// Decorators whose n-th call fails, counted from 1 over all methods; the calls before and after reach the inner provider.
#pragma once

#include <atomic>

#include "provider/kms.h"
#include "provider/object_store.h"
#include "provider/secret_store.h"

namespace redoubt::provider::testing {

// Counts calls; `next` fails at the chosen one.
class FailurePoint {
 public:
  explicit FailurePoint(int failing_call, ErrorCode code = ErrorCode::unavailable)
      : failing_call_(failing_call), code_(code) {}
  Status next() {
    if (++calls_ != failing_call_) return {};
    return fail(code_, "a failure that the test asked for");
  }
  int calls() const { return calls_; }

 private:
  int failing_call_;
  ErrorCode code_;
  std::atomic<int> calls_{0};
};

class FailingKms final : public Kms {
 public:
  FailingKms(Kms& inner, FailurePoint& point) : inner_(inner), point_(point) {}
  Result<Bytes> wrap(std::string_view key_uri, const Secret& data_key, const EncryptionContext& context) override {
    TRY(point_.next());
    return inner_.wrap(key_uri, data_key, context);
  }
  Result<Secret> unwrap(std::string_view key_uri, ByteView wrapped, const EncryptionContext& context) override {
    TRY(point_.next());
    return inner_.unwrap(key_uri, wrapped, context);
  }
  Status create_key(std::string_view key_uri) override {
    TRY(point_.next());
    return inner_.create_key(key_uri);
  }
  Status rotate_key(std::string_view key_uri) override {
    TRY(point_.next());
    return inner_.rotate_key(key_uri);
  }
  Status destroy_key(std::string_view key_uri) override {
    TRY(point_.next());
    return inner_.destroy_key(key_uri);
  }

 private:
  Kms& inner_;
  FailurePoint& point_;
};

class FailingObjectStore final : public ObjectStore {
 public:
  FailingObjectStore(ObjectStore& inner, FailurePoint& point) : inner_(inner), point_(point) {}
  Status put(std::string_view key, Source& contents, PutMode mode) override {
    TRY(point_.next());
    return inner_.put(key, contents, mode);
  }
  Result<std::unique_ptr<RandomAccess>> open(std::string_view key) override {
    TRY(point_.next());
    return inner_.open(key);
  }
  Result<std::vector<std::string>> list(std::string_view prefix) override {
    TRY(point_.next());
    return inner_.list(prefix);
  }
  Status remove(std::string_view key) override {
    TRY(point_.next());
    return inner_.remove(key);
  }

 private:
  ObjectStore& inner_;
  FailurePoint& point_;
};

class FailingSecretStore final : public SecretStore {
 public:
  FailingSecretStore(SecretStore& inner, FailurePoint& point) : inner_(inner), point_(point) {}
  Result<SecretInfo> put(std::string_view name, const Secret& value) override {
    TRY(point_.next());
    return inner_.put(name, value);
  }
  Result<Secret> get(std::string_view name) override {
    TRY(point_.next());
    return inner_.get(name);
  }
  Result<Secret> get_previous(std::string_view name) override {
    TRY(point_.next());
    return inner_.get_previous(name);
  }
  Result<std::vector<SecretInfo>> list() override {
    TRY(point_.next());
    return inner_.list();
  }
  Result<std::optional<TimePoint>> remove(std::string_view name, Removal how) override {
    TRY(point_.next());
    return inner_.remove(name, how);
  }
  Result<std::optional<SecretInfo>> rotate(std::string_view name) override {
    TRY(point_.next());
    return inner_.rotate(name);
  }
  Result<std::vector<UnreadableSecret>> verify_all() override {
    TRY(point_.next());
    return inner_.verify_all();
  }

 private:
  SecretStore& inner_;
  FailurePoint& point_;
};

}  // namespace redoubt::provider::testing
