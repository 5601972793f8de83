// SPDX-License-Identifier: Apache-2.0
#include "crypto/gcm_state.h"

#ifdef REDOUBT_HAS_GCM_LIBRARY
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>

namespace redoubt::crypto {
namespace {

constexpr std::uint64_t kMessageBytesMax = (1ull << 36) - 32;  // SP 800-38D section 5.2.1.1
constexpr std::size_t kFixedBytes = 4, kExplicitBytes = 8, kTlsAssociatedBytes = 13;

}  // namespace

GcmState::~GcmState() {
  OPENSSL_cleanse(&key_, sizeof key_);
  OPENSSL_cleanse(&running_, sizeof running_);
}

bool GcmState::set_key(ByteView key) {
  if (key.size() != kKeyBytes) return false;
  gcm_library()->gcm256_pre(key.data(), &key_);
  return has_key_ = true;
}

bool GcmState::set_iv(ByteView iv) {
  if (!set_iv_size(iv.size())) return false;
  std::copy(iv.begin(), iv.end(), iv_.begin());
  iv_state_ = Iv::set;
  associated_.clear();
  return true;
}

bool GcmState::set_iv_size(std::size_t bytes) {
  if (bytes == 0 || bytes > kIvBytesMax) return false;
  if (bytes != iv_bytes_) iv_state_ = Iv::none;
  iv_bytes_ = bytes;
  return true;
}

bool GcmState::add_associated(ByteView bytes) {
  if (iv_state_ != Iv::set) return false;
  associated_.insert(associated_.end(), bytes.begin(), bytes.end());
  return true;
}

bool GcmState::begin_message() {
  if (!has_key_ || iv_state_ != Iv::set) return false;
  if (iv_bytes_ == kIvBytes)
    gcm_library()->gcm256_init(&key_, &running_, iv_.data(), associated_.data(), associated_.size());
  else
    gcm_library()->gcm256_init_var_iv(&key_, &running_, iv_.data(), iv_bytes_, associated_.data(), associated_.size());
  iv_state_ = Iv::in_use;
  is_tag_made_ = false;
  passed_ = 0;
  return true;
}

void GcmState::cipher(std::uint8_t* out, const std::uint8_t* in, std::size_t bytes) {
  const auto update = encrypting_ ? gcm_library()->gcm256_enc_update : gcm_library()->gcm256_dec_update;
  update(&key_, &running_, out, in, bytes);
}

void GcmState::make_tag() {
  const auto finalize = encrypting_ ? gcm_library()->gcm256_enc_finalize : gcm_library()->gcm256_dec_finalize;
  finalize(&key_, &running_, made_.data(), made_.size());
  iv_state_ = Iv::none;
}

bool GcmState::pass(std::uint8_t* out, const std::uint8_t* in, std::size_t bytes) {
  if (iv_state_ != Iv::in_use && !begin_message()) return false;
  if (bytes > kMessageBytesMax - passed_) return false;
  passed_ += bytes;
  cipher(out, in, bytes);
  return true;
}

bool GcmState::expect_tag(ByteView tag) {
  if (encrypting_ || tag.empty() || tag.size() > kTagBytes) return false;
  std::copy(tag.begin(), tag.end(), expected_.begin());
  expected_bytes_ = tag.size();
  return true;
}

bool GcmState::finish() {
  if (iv_state_ != Iv::in_use && !begin_message()) return false;
  make_tag();
  if (encrypting_) return is_tag_made_ = true;
  const std::size_t bytes = std::exchange(expected_bytes_, 0);
  return bytes > 0 && CRYPTO_memcmp(made_.data(), expected_.data(), bytes) == 0;
}

ByteView GcmState::made_tag() const { return is_tag_made_ ? ByteView(made_) : ByteView(); }

// The explicit part begins anywhere and counts up, so that no two records under a key share a nonce.
bool GcmState::set_tls_1_2_iv(ByteView fixed) {
  if (fixed.size() != kFixedBytes || iv_bytes_ != kIvBytes) return false;
  std::copy(fixed.begin(), fixed.end(), iv_.begin());
  if (encrypting_ && RAND_bytes(iv_.data() + kFixedBytes, kExplicitBytes) != 1) return false;
  iv_state_ = Iv::none;
  return has_tls_1_2_iv_ = true;
}

// The record's length stands in it with the explicit nonce, and on the way in with the tag; what is authenticated is without.
bool GcmState::begin_tls_1_2_record(ByteView associated) {
  if (associated.size() != kTlsAssociatedBytes || !has_tls_1_2_iv_) return false;
  associated_.assign(associated.begin(), associated.end());
  auto& high = associated_[kTlsAssociatedBytes - 2];
  auto& low = associated_[kTlsAssociatedBytes - 1];
  const std::size_t length = std::size_t{high} << 8 | low, around = kExplicitBytes + (encrypting_ ? 0 : kTagBytes);
  if (length < around) return false;
  high = static_cast<std::uint8_t>((length - around) >> 8);
  low = static_cast<std::uint8_t>(length - around);
  return in_record_ = true;
}

bool GcmState::tls_record(std::uint8_t* out, std::size_t& written, const std::uint8_t* in, std::size_t bytes) {
  in_record_ = false;
  if (out != in || bytes < kExplicitBytes + kTagBytes || !has_key_) return false;
  std::uint8_t* const counter = iv_.data() + kFixedBytes;
  std::uint8_t* const contents = out + kExplicitBytes;
  const std::size_t size = bytes - kExplicitBytes - kTagBytes;
  if (encrypting_)
    std::copy_n(counter, kExplicitBytes, out);
  else
    std::copy_n(out, kExplicitBytes, counter);
  iv_state_ = Iv::set;
  if (!begin_message()) return false;
  if (size > 0) cipher(contents, contents, size);
  make_tag();
  if (encrypting_) {
    std::copy(made_.begin(), made_.end(), contents + size);
    for (std::size_t i = kExplicitBytes; i > 0 && ++counter[i - 1] == 0; --i) {
    }
    written = bytes;
    return true;
  }
  if (CRYPTO_memcmp(made_.data(), contents + size, kTagBytes) == 0) {
    written = size;
    return true;
  }
  OPENSSL_cleanse(contents, size);
  return false;
}

}  // namespace redoubt::crypto
#endif
