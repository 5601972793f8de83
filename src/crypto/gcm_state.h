// SPDX-License-Identifier: Apache-2.0
//
// One AES-256-GCM operation of the provider in gcm_provider.cc, message after message. An IV serves one message: after its end
// the next one has to be set, or nothing more is done.
#pragma once

#include <array>

#include "base/bytes.h"
#include "crypto/gcm_library.h"

#ifdef REDOUBT_HAS_GCM_LIBRARY

namespace redoubt::crypto {

class GcmState {
 public:
  static constexpr std::size_t kKeyBytes = 32, kIvBytes = 12, kIvBytesMax = 128, kTagBytes = 16;

  ~GcmState();
  void set_direction(bool encrypting) { encrypting_ = encrypting; }
  bool set_key(ByteView key);
  bool set_iv(ByteView iv);
  bool set_iv_size(std::size_t bytes);
  ByteView iv() const { return ByteView(iv_).first(iv_bytes_); }

  bool add_associated(ByteView bytes);  // before the first byte of the message
  // `out` is as long as what comes in, and either the same memory or apart from it.
  bool pass(std::uint8_t* out, const std::uint8_t* in, std::size_t bytes);
  bool expect_tag(ByteView tag);  // before the end of what is decrypted; 1 to 16 bytes
  bool finish();                  // false where the tag is another
  ByteView made_tag() const;      // of what was encrypted; empty before its end

  // TLS 1.2: 4 fixed bytes of the nonce, then for each record its 13 bytes of associated data and, in one call, its nonce's other 8
  // bytes, contents and tag in place. `written` is what the record layer goes on with: all of it, or the contents alone.
  bool set_tls_1_2_iv(ByteView fixed);
  bool begin_tls_1_2_record(ByteView associated);
  bool in_tls_1_2() const { return in_record_; }
  bool tls_record(std::uint8_t* out, std::size_t& written, const std::uint8_t* in, std::size_t bytes);

 private:
  enum class Iv { none, set, in_use };
  bool begin_message();
  void cipher(std::uint8_t* out, const std::uint8_t* in, std::size_t bytes);
  void make_tag();

  gcm_key_data key_;
  gcm_context_data running_;
  bool has_key_ = false, encrypting_ = true, in_record_ = false, has_tls_1_2_iv_ = false, is_tag_made_ = false;
  Iv iv_state_ = Iv::none;
  std::size_t iv_bytes_ = kIvBytes, expected_bytes_ = 0;
  std::uint64_t passed_ = 0;
  std::array<std::uint8_t, kIvBytesMax> iv_{};
  std::array<std::uint8_t, kTagBytes> made_{}, expected_{};
  Bytes associated_;
};

}  // namespace redoubt::crypto
#endif
