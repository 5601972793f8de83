// SPDX-License-Identifier: Apache-2.0
//
// A Kms in memory that keeps the whole contract, for tests. Its keys are "fake:NAME".
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "provider/kms.h"

namespace redoubt::provider::testing {

class FakeKms final : public Kms {
 public:
  Result<Bytes> wrap(std::string_view key_uri, const Secret& data_key, const EncryptionContext& context) override;
  Result<Secret> unwrap(std::string_view key_uri, ByteView wrapped, const EncryptionContext& context) override;
  Status create_key(std::string_view key_uri) override;
  Status rotate_key(std::string_view key_uri) override;
  Status destroy_key(std::string_view key_uri) override;

 private:
  Result<std::vector<Secret>*> find(std::string_view key_uri);
  std::mutex mutex_;
  std::map<std::string, std::vector<Secret>, std::less<>> keys_;  // no versions: destroyed
};

}  // namespace redoubt::provider::testing
