// SPDX-License-Identifier: Apache-2.0
//
// A small file of state, sealed as a whole under a context that names it. Guarantee: a read gives what some write put there,
// and never a mixture; a write is atomic and durable. An older whole file put back in place is not noticed here: what must
// not go back in time has its digest in the ledger.
#pragma once

#include <filesystem>

#include "base/json.h"
#include "vault/sealing.h"

namespace redoubt::vault {

class SealedFile {
 public:
  SealedFile(std::filesystem::path path, SealingKey key, provider::EncryptionContext context,
             std::uint64_t bytes_max = 16 << 20)
      : path_(std::move(path)), key_(std::move(key)), context_(std::move(context)), bytes_max_(bytes_max) {}

  // not_found, tampered, or limit_exceeded for more than bytes_max.
  Result<Bytes> read() const;
  Status write(ByteView plaintext) const;
  Result<Json> read_json() const;
  Status write_json(const Json& value) const;
  bool exists() const;

 private:
  std::filesystem::path path_;
  SealingKey key_;
  provider::EncryptionContext context_;
  std::uint64_t bytes_max_;
};

}  // namespace redoubt::vault
