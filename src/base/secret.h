// SPDX-License-Identifier: Apache-2.0
//
// Bytes that must not leak: wiped when dropped, never printable, compared in constant time, and readable only with a
// token, so that one grep for `reveal(` lists every read.
#pragma once

#include <string_view>

#include "base/bytes.h"

namespace redoubt {

// Proof that the reader meant to read a secret. Made only by naming it: `secret.reveal(SecretAccess::for_crypto())`.
class SecretAccess {
 public:
  static SecretAccess for_crypto() { return {}; }    // handed to a cipher, a signature or a key derivation
  static SecretAccess for_protocol() { return {}; }  // written into a request over TLS or a private pipe
  static SecretAccess for_user() { return {}; }      // shown to the person who asked for it (`secret get`)
  static SecretAccess for_storage() { return {}; }   // sealed into a store, or read from a key file

 private:
  SecretAccess() = default;
};

class Secret {
 public:
  Secret() = default;
  explicit Secret(Bytes bytes) : bytes_(std::move(bytes)) {}
  explicit Secret(std::string_view text) : bytes_(text.begin(), text.end()) {}
  // `size` zero bytes to be filled through `writable`.
  static Secret of_size(std::size_t size) { return Secret(Bytes(size)); }

  Secret(const Secret&) = default;
  Secret& operator=(const Secret& other);
  Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)) { other.bytes_.clear(); }
  Secret& operator=(Secret&& other) noexcept;
  ~Secret() { wipe(); }

  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  ByteView reveal(SecretAccess) const { return bytes_; }
  MutableByteView writable(SecretAccess) { return bytes_; }

  // Constant time in the contents; the lengths are not secret.
  bool operator==(const Secret& other) const;

 private:
  void wipe();
  Bytes bytes_;
};

// Constant time in the contents of equally long strings.
bool equal_constant_time(ByteView a, ByteView b);
// Overwrites memory in a way that the compiler may not leave out.
void wipe_memory(MutableByteView bytes);

}  // namespace redoubt
