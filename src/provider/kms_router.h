// SPDX-License-Identifier: Apache-2.0
//
// Several keepers of keys behind one interface: the scheme of a key's URI ("local:", "aws-kms:") says whose it is.
#pragma once

#include "provider/kms.h"

namespace redoubt::provider {

class KmsRouter final : public Kms {
 public:
  // By scheme, without its colon. All must outlive it.
  explicit KmsRouter(std::map<std::string, Kms*, std::less<>> keepers) : keepers_(std::move(keepers)) {}

  // invalid_argument for a scheme that nobody keeps.
  Result<Bytes> wrap(std::string_view key_uri, const Secret& data_key, const EncryptionContext& context) override;
  Result<Secret> unwrap(std::string_view key_uri, ByteView wrapped, const EncryptionContext& context) override;
  Status create_key(std::string_view key_uri) override;
  Status rotate_key(std::string_view key_uri) override;
  Status destroy_key(std::string_view key_uri) override;

 private:
  Result<Kms*> keeper_of(std::string_view key_uri) const;
  std::map<std::string, Kms*, std::less<>> keepers_;
};

}  // namespace redoubt::provider
