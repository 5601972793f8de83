// SPDX-License-Identifier: Apache-2.0
#include "provider/kms_router.h"

namespace redoubt::provider {

Result<Kms*> KmsRouter::keeper_of(std::string_view key_uri) const {
  const auto found = keepers_.find(key_uri.substr(0, key_uri.find(':')));
  if (found != keepers_.end()) return found->second;
  return fail(ErrorCode::invalid_argument, "nobody here keeps such keys", std::string(key_uri.substr(0, 256)), "name its keeper in the block 'kms' of the providers");
}

Result<Bytes> KmsRouter::wrap(std::string_view key_uri, const Secret& data_key, const EncryptionContext& context) {
  return TRY(keeper_of(key_uri))->wrap(key_uri, data_key, context);
}
Result<Secret> KmsRouter::unwrap(std::string_view key_uri, ByteView wrapped, const EncryptionContext& context) {
  return TRY(keeper_of(key_uri))->unwrap(key_uri, wrapped, context);
}
Status KmsRouter::create_key(std::string_view key_uri) { return TRY(keeper_of(key_uri))->create_key(key_uri); }
Status KmsRouter::rotate_key(std::string_view key_uri) { return TRY(keeper_of(key_uri))->rotate_key(key_uri); }
Status KmsRouter::destroy_key(std::string_view key_uri) { return TRY(keeper_of(key_uri))->destroy_key(key_uri); }

}  // namespace redoubt::provider
