// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104).
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/secret.h"
#include "base/stream.h"

namespace redoubt::crypto {

// A running hash. `finish` may be called once.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  Sha256& update(ByteView bytes);
  Sha256& update(std::string_view text) { return update(view_of(text)); }
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest sha256(ByteView bytes);
inline Digest sha256(std::string_view text) { return sha256(view_of(text)); }
// Hashes a source to its end.
Result<Digest> sha256_of(Source& source);
// Git's object id of a file's contents (SHA-1 over "blob <size>\0" and the bytes), 40 hexadecimal digits: what a Hub gives
// for small files. An identifier, never a proof: whoever needs a proof uses SHA-256.
std::string git_blob_id(ByteView bytes);

Digest hmac_sha256(const Secret& key, ByteView message);

}  // namespace redoubt::crypto
