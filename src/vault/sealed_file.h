// SPDX-License-Identifier: Apache-2.0
//
// A small file of state, sealed as a whole under a context that names it. Guarantee: a read gives what some write put there,
// and never a mixture; a write is atomic and durable. An older whole file put back in place is not noticed here: what must
// not go back in time has its digest in the ledger. Writers of one folder hold its `.write.lock` in turn.
#pragma once

#include <filesystem>
#include <functional>

#include "base/json.h"
#include "vault/sealing.h"

namespace redoubt::vault {

// Told before a sealed file is replaced what it will hold; no bytes: it will be removed. An error stops the write.
using BeforeWrite = std::function<Status(const std::filesystem::path& path, ByteView sealed)>;

inline constexpr const char* kWriteLock = ".write.lock";

class SealedFile {
 public:
  SealedFile(std::filesystem::path path, SealingKey key, provider::EncryptionContext context,
             std::uint64_t bytes_max = 16 << 20, BeforeWrite before_write = {})
      : path_(std::move(path)),
        key_(std::move(key)),
        context_(std::move(context)),
        bytes_max_(bytes_max),
        before_write_(std::move(before_write)) {}

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
  BeforeWrite before_write_;
};

}  // namespace redoubt::vault
