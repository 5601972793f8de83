// SPDX-License-Identifier: Apache-2.0
#include "crypto/gcm_provider.h"

#include "crypto/gcm_library.h"

#ifndef REDOUBT_HAS_GCM_LIBRARY
namespace redoubt::crypto {
bool load_gcm_provider() { return false; }
}  // namespace redoubt::crypto
#else
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <string_view>

#include "crypto/gcm_state.h"

namespace redoubt::crypto {
namespace {

constexpr unsigned kKeyBits = GcmState::kKeyBytes * 8;

GcmState& state_of(void* context) { return *static_cast<GcmState*>(context); }

void* new_context(void*) { return new GcmState(); }
void free_context(void* context) { delete static_cast<GcmState*>(context); }
void* copy_context(void* context) { return new GcmState(state_of(context)); }

int set_context(void* context, const OSSL_PARAM* params);

int start(void* context, const unsigned char* key, std::size_t key_bytes, const unsigned char* iv, std::size_t iv_bytes, const OSSL_PARAM* params, bool encrypting) {
  auto& state = state_of(context);
  state.set_direction(encrypting);
  if (iv != nullptr && !state.set_iv({iv, iv_bytes})) return 0;
  if (key != nullptr && !state.set_key({key, key_bytes})) return 0;
  return set_context(context, params);
}

int encrypt_init(void* context, const unsigned char* key, std::size_t key_bytes, const unsigned char* iv, std::size_t iv_bytes, const OSSL_PARAM* params) {
  return start(context, key, key_bytes, iv, iv_bytes, params, true);
}

int decrypt_init(void* context, const unsigned char* key, std::size_t key_bytes, const unsigned char* iv, std::size_t iv_bytes, const OSSL_PARAM* params) {
  return start(context, key, key_bytes, iv, iv_bytes, params, false);
}

int update(void* context, unsigned char* out, std::size_t* written, std::size_t room, const unsigned char* in, std::size_t bytes) {
  auto& state = state_of(context);
  *written = 0;
  if (state.in_tls_1_2()) return room >= bytes && state.tls_record(out, *written, in, bytes);
  if (bytes == 0) return 1;
  if (out == nullptr ? !state.add_associated({in, bytes}) : room < bytes || !state.pass(out, in, bytes)) return 0;
  *written = bytes;
  return 1;
}

int finish(void* context, unsigned char*, std::size_t* written, std::size_t) {
  *written = 0;
  return state_of(context).finish();
}

int get_fixed(OSSL_PARAM params[]) {
  const auto put = [&](const char* name, auto set, auto value) {
    OSSL_PARAM* param = OSSL_PARAM_locate(params, name);
    return param == nullptr || set(param, value) == 1;
  };
  return put(OSSL_CIPHER_PARAM_MODE, OSSL_PARAM_set_uint, EVP_CIPH_GCM_MODE) && put(OSSL_CIPHER_PARAM_AEAD, OSSL_PARAM_set_int, 1) &&
         put(OSSL_CIPHER_PARAM_CUSTOM_IV, OSSL_PARAM_set_int, 1) && put(OSSL_CIPHER_PARAM_KEYLEN, OSSL_PARAM_set_size_t, kKeyBits / 8) &&
         put(OSSL_CIPHER_PARAM_BLOCK_SIZE, OSSL_PARAM_set_size_t, 1) && put(OSSL_CIPHER_PARAM_IVLEN, OSSL_PARAM_set_size_t, GcmState::kIvBytes);
}

int get_tag(const GcmState& state, OSSL_PARAM& param) {
  const ByteView made = state.made_tag();
  return param.data_size > 0 && param.data_size <= made.size() && OSSL_PARAM_set_octet_string(&param, made.data(), param.data_size);
}

int get_one(const GcmState& state, OSSL_PARAM& param) {
  const std::string_view name = param.key;
  if (name == OSSL_CIPHER_PARAM_IVLEN) return OSSL_PARAM_set_size_t(&param, state.iv().size());
  if (name == OSSL_CIPHER_PARAM_KEYLEN) return OSSL_PARAM_set_size_t(&param, GcmState::kKeyBytes);
  if (name == OSSL_CIPHER_PARAM_AEAD_TAGLEN || name == OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD) return OSSL_PARAM_set_size_t(&param, GcmState::kTagBytes);
  if (name == OSSL_CIPHER_PARAM_AEAD_TAG) return get_tag(state, param);
  if (name != OSSL_CIPHER_PARAM_IV && name != OSSL_CIPHER_PARAM_UPDATED_IV) return 1;
  const ByteView iv = state.iv();
  return param.data_size >= iv.size() && (OSSL_PARAM_set_octet_string(&param, iv.data(), iv.size()) == 1 || OSSL_PARAM_set_octet_ptr(&param, iv.data(), iv.size()) == 1);
}

// Each record of TLS asks for one of them: what is asked for is gone through, not what there is.
int get_context(void* context, OSSL_PARAM params[]) {
  const auto& state = state_of(context);
  for (auto* param = params; param->key != nullptr; ++param) {
    if (get_one(state, *param) == 0) return 0;
  }
  return 1;
}

ByteView bytes_of(const OSSL_PARAM& param) {
  const void* data = nullptr;
  std::size_t size = 0;
  return OSSL_PARAM_get_octet_string_ptr(&param, &data, &size) == 1 ? ByteView(static_cast<const std::uint8_t*>(data), size) : ByteView();
}

// Fails for a control that it does not have where a caller would take silence for success.
bool set_one(GcmState& state, const OSSL_PARAM& param) {
  const std::string_view name = param.key;
  std::size_t number = 0;
  if (name == OSSL_CIPHER_PARAM_AEAD_TAG) return param.data == nullptr || state.expect_tag(bytes_of(param));
  if (name == OSSL_CIPHER_PARAM_KEYLEN) return OSSL_PARAM_get_size_t(&param, &number) == 1 && number == GcmState::kKeyBytes;
  if (name == OSSL_CIPHER_PARAM_AEAD_IVLEN) return OSSL_PARAM_get_size_t(&param, &number) == 1 && state.set_iv_size(number);
  if (name == OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED) return state.set_tls_1_2_iv(bytes_of(param));
  if (name == OSSL_CIPHER_PARAM_AEAD_TLS1_AAD) return state.begin_tls_1_2_record(bytes_of(param));
  return name != OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV;
}

int set_context(void* context, const OSSL_PARAM* params) {
  auto& state = state_of(context);
  for (auto* param = params; param != nullptr && param->key != nullptr; ++param) {
    if (!set_one(state, *param)) return 0;
  }
  return 1;
}

const OSSL_PARAM kFixed[] = {OSSL_PARAM_uint(OSSL_CIPHER_PARAM_MODE, nullptr), OSSL_PARAM_int(OSSL_CIPHER_PARAM_AEAD, nullptr), OSSL_PARAM_int(OSSL_CIPHER_PARAM_CUSTOM_IV, nullptr),
                             OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, nullptr), OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_BLOCK_SIZE, nullptr), OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, nullptr), OSSL_PARAM_END};
const OSSL_PARAM kGettable[] = {OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, nullptr), OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, nullptr), OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TAGLEN, nullptr),
                                OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_IV, nullptr, 0), OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_UPDATED_IV, nullptr, 0), OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, nullptr, 0),
                                OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD_PAD, nullptr), OSSL_PARAM_END};
const OSSL_PARAM kSettable[] = {OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, nullptr), OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_AEAD_IVLEN, nullptr), OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, nullptr, 0),
                                OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_AAD, nullptr, 0), OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, nullptr, 0), OSSL_PARAM_END};

const OSSL_PARAM* fixed(void*) { return kFixed; }
const OSSL_PARAM* gettable(void*, void*) { return kGettable; }
const OSSL_PARAM* settable(void*, void*) { return kSettable; }

template <typename Function>
OSSL_DISPATCH entry(int id, Function* function) {
  return {id, reinterpret_cast<void (*)()>(function)};
}

const OSSL_ALGORITHM* query(void*, int operation, int* no_cache) {
  static const OSSL_DISPATCH functions[] = {
      entry(OSSL_FUNC_CIPHER_NEWCTX, new_context), entry(OSSL_FUNC_CIPHER_FREECTX, free_context), entry(OSSL_FUNC_CIPHER_DUPCTX, copy_context),
      entry(OSSL_FUNC_CIPHER_ENCRYPT_INIT, encrypt_init), entry(OSSL_FUNC_CIPHER_DECRYPT_INIT, decrypt_init), entry(OSSL_FUNC_CIPHER_UPDATE, update),
      entry(OSSL_FUNC_CIPHER_FINAL, finish), entry(OSSL_FUNC_CIPHER_GET_PARAMS, get_fixed), entry(OSSL_FUNC_CIPHER_GET_CTX_PARAMS, get_context),
      entry(OSSL_FUNC_CIPHER_SET_CTX_PARAMS, set_context), entry(OSSL_FUNC_CIPHER_GETTABLE_PARAMS, fixed), entry(OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS, gettable),
      entry(OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS, settable), {0, nullptr}};
  static const OSSL_ALGORITHM ciphers[] = {{"AES-256-GCM:id-aes256-GCM:2.16.840.1.101.3.4.1.46", "provider=redoubt", functions, "AES-256-GCM by VAES"}, {nullptr, nullptr, nullptr, nullptr}};
  *no_cache = 0;
  return operation == OSSL_OP_CIPHER ? ciphers : nullptr;
}

int init(const OSSL_CORE_HANDLE*, const OSSL_DISPATCH*, const OSSL_DISPATCH** out, void** provider_context) {
  static const OSSL_DISPATCH functions[] = {entry(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query), {0, nullptr}};
  static char unused;
  *out = functions;
  *provider_context = &unused;
  return 1;
}

}  // namespace

bool load_gcm_provider() {
  constexpr int kBesideTheDefault = 1;
  if (gcm_library() == nullptr || OSSL_PROVIDER_add_builtin(nullptr, "redoubt", init) != 1) return false;
  // Never unloaded, and held where a search for leaks finds it: OpenSSL forgets it at the process's end, before it is freed.
  [[gnu::used]] static const OSSL_PROVIDER* loaded = nullptr;  // g++ leaves out what is only written
  loaded = OSSL_PROVIDER_try_load(nullptr, "redoubt", kBesideTheDefault);
  return loaded != nullptr;
}

}  // namespace redoubt::crypto
#endif
