// SPDX-License-Identifier: Apache-2.0
//
// Keys of AWS KMS: aws-kms:alias/NAME, aws-kms:KEY-ID or aws-kms:ARN. A wrapping is what Encrypt answers, under the encryption
// context, which CloudTrail shows with each use. The key that opened is compared with the key that was named.
//
// Destruction on AWS takes time: from destroy_key on KMS refuses every use, and after seven days the key is gone for ever; until then
// an administrator can take it back (CancelKeyDeletion).
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "provider/aws/api/client.h"
#include "provider/kms.h"

namespace redoubt::provider::aws {

inline constexpr std::string_view kKmsScheme = "aws-kms:";

class AwsKms final : public Kms {
 public:
  explicit AwsKms(Client& client) : client_(client) {}

  Result<Bytes> wrap(std::string_view key_uri, const Secret& data_key, const EncryptionContext& context) override;
  Result<Secret> unwrap(std::string_view key_uri, ByteView wrapped, const EncryptionContext& context) override;
  // The URI names an alias: the key's own id is KMS's to choose. The key rotates by itself every 90 days.
  Status create_key(std::string_view key_uri) override;
  // On demand: at most 25 times in a key's life (limit_exceeded). One that is under way already is success.
  Status rotate_key(std::string_view key_uri) override;
  Status destroy_key(std::string_view key_uri) override;

 private:
  // The ARN of an enabled key, asked for once. not_found for one that is not there or about to be gone.
  Result<std::string> arn_of(std::string_view key_uri);
  Result<std::string> make_key();
  Result<Json> name_key(const std::string& alias, const std::string& arn);
  Status schedule_deletion(const std::string& arn);
  void forget(std::string_view key_uri);
  tl::unexpected<Error> fail_kms(std::string_view key_uri, Error error);

  Client& client_;
  std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> arns_;  // by URI
};

}  // namespace redoubt::provider::aws
