// SPDX-License-Identifier: Apache-2.0
//
// Keys that never leave their keeper. Guarantee: what was wrapped under a key and a context opens only under that key and
// that very context; rotation keeps old wrappings readable. Implementations are safe to call from several threads.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/secret.h"

namespace redoubt::provider {

// Names the object a wrapping belongs to ("workspace", "kind", "name"); authenticated, not secret, never empty.
using EncryptionContext = std::map<std::string, std::string>;

// The unambiguous bytes of a context: each key and value preceded by its length as 4 bytes, big-endian, in key order.
Bytes encode_context(const EncryptionContext& context);

class Kms {
 public:
  virtual ~Kms() = default;
  // Seals a data key of at most 4096 bytes under the newest version of the key. The URI of that key ("local:default") goes
  // into the object's header. An empty context is invalid_argument, an unknown key not_found.
  virtual Result<Bytes> wrap(std::string_view key_uri, const Secret& data_key, const EncryptionContext& context) = 0;
  // tampered when the blob or the context is not what was wrapped; not_found when the key is gone (crypto-shredding).
  virtual Result<Secret> unwrap(std::string_view key_uri, ByteView wrapped, const EncryptionContext& context) = 0;
  // Makes a key; already_exists if the name is taken.
  virtual Status create_key(std::string_view key_uri) = 0;
  // Adds a version that new wrappings use; old ones stay readable.
  virtual Status rotate_key(std::string_view key_uri) = 0;
  // After this nothing wrapped under the key can be opened again, by anybody.
  virtual Status destroy_key(std::string_view key_uri) = 0;
};

}  // namespace redoubt::provider
