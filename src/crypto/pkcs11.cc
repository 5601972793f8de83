// SPDX-License-Identifier: Apache-2.0
#include "crypto/pkcs11.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <p11-kit/pkcs11.h>

#include <algorithm>

#include "base/file.h"

namespace redoubt::crypto {
namespace {

constexpr const char* kModuleFolders[] = {"/usr/lib/x86_64-linux-gnu/pkcs11", "/usr/lib/aarch64-linux-gnu/pkcs11", "/usr/lib64/pkcs11", "/usr/lib/pkcs11", "/usr/lib/softhsm"};
constexpr CK_ULONG kObjectsMax = 64, kSlotsMax = 256;
constexpr CK_ULONG kAttributeBytesMax = 4096;

// OBJECT IDENTIFIERs of the curves in DER (RFC 5480 section 2.1.1.1), as CKA_EC_PARAMS has them.
struct TokenCurve {
  SignatureAlgorithm algorithm;
  std::string_view parameters;
};
constexpr TokenCurve kTokenCurves[] = {{SignatureAlgorithm::ecdsa_p256, {"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10}},
                                       {SignatureAlgorithm::ecdsa_p384, {"\x06\x05\x2b\x81\x04\x00\x22", 7}},
                                       {SignatureAlgorithm::ecdsa_p521, {"\x06\x05\x2b\x81\x04\x00\x23", 7}}};

Status check(CK_RV answer, const char* doing) {
  if (answer == CKR_OK) return {};
  if (answer == CKR_PIN_INCORRECT || answer == CKR_PIN_INVALID || answer == CKR_PIN_LEN_RANGE) return fail(ErrorCode::permission_denied, "the token refuses the PIN", doing, "too many wrong PINs lock a token");
  if (answer == CKR_PIN_LOCKED) return fail(ErrorCode::permission_denied, "the token's PIN is locked", doing, "unlock it with the security officer's PIN");
  return fail(ErrorCode::unavailable, fmt::format("the PKCS#11 module answers 0x{:08x}", answer), doing);
}

// A text of fixed length, filled up with spaces.
template <std::size_t size>
std::string padded(const unsigned char (&field)[size]) {
  std::string text(reinterpret_cast<const char*>(field), size);
  text.erase(text.find_last_not_of(std::string_view(" \0", 2)) + 1);
  return text;
}

Result<std::string> module_of(const Pkcs11Uri& uri) {
  if (!uri.module_path.empty()) {
    if (uri.module_path.starts_with('/')) return uri.module_path;
    return fail(ErrorCode::invalid_argument, "the module's path is not absolute", uri.module_path);
  }
  if (uri.module_name.empty() || uri.module_name.find('/') != uri.module_name.npos) {
    return fail(ErrorCode::invalid_argument, "the PKCS#11 URI names no module", "module-path", "add ?module-path=/path/of/the/module.so, or '--pkcs11-module'");
  }
  for (const auto& name : {uri.module_name + ".so", "lib" + uri.module_name + ".so", uri.module_name}) {
    for (const char* folder : kModuleFolders) {
      if (is_plain_file(std::filesystem::path(folder) / name)) return (std::filesystem::path(folder) / name).string();
    }
  }
  return fail(ErrorCode::not_found, "no such PKCS#11 module in the system's folders", uri.module_name, "name it with module-path=/path/of/the/module.so");
}

}  // namespace

// The loaded library. It stays loaded: modules start threads and register exit handlers that outlive a dlclose.
class Pkcs11Module {
 public:
  static Result<std::unique_ptr<Pkcs11Module>> load(const std::string& path) {
    if (!is_plain_file(path)) return fail(ErrorCode::not_found, "no such PKCS#11 module", path);
    void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return fail(ErrorCode::invalid_argument, "the PKCS#11 module can't be loaded", path, "check that it is a library of this machine's kind");
    const auto get = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
    CK_FUNCTION_LIST* functions = nullptr;
    if (get == nullptr || get(&functions) != CKR_OK || functions == nullptr) return fail(ErrorCode::invalid_argument, "the library is no PKCS#11 module", path);
    const CK_RV answer = functions->C_Initialize(nullptr);
    const bool was_initialized = answer == CKR_CRYPTOKI_ALREADY_INITIALIZED;
    if (!was_initialized) TRY(check(answer, "initialize the module"));
    return std::unique_ptr<Pkcs11Module>(new Pkcs11Module(functions, !was_initialized));
  }
  ~Pkcs11Module() {
    if (is_ours_) functions_->C_Finalize(nullptr);
  }
  CK_FUNCTION_LIST* operator->() const { return functions_; }

 private:
  Pkcs11Module(CK_FUNCTION_LIST* functions, bool is_ours) : functions_(functions), is_ours_(is_ours) {}
  CK_FUNCTION_LIST* functions_;
  bool is_ours_;
};

namespace {

bool fits(const CK_TOKEN_INFO& info, CK_SLOT_ID slot, const Pkcs11Uri& uri) {
  const auto same = [](const std::string& wanted, const std::string& is) { return wanted.empty() || wanted == is; };
  return same(uri.token, padded(info.label)) && same(uri.manufacturer, padded(info.manufacturerID)) && same(uri.serial, padded(info.serialNumber)) &&
         same(uri.model, padded(info.model)) && (!uri.slot || *uri.slot == slot);
}

Result<CK_SLOT_ID> find_slot(const Pkcs11Module& module, const Pkcs11Uri& uri) {
  CK_SLOT_ID slots[kSlotsMax];
  CK_ULONG count = kSlotsMax;
  TRY(check(module->C_GetSlotList(CK_TRUE, slots, &count), "list the tokens"));
  std::vector<CK_SLOT_ID> found;
  for (CK_ULONG i = 0; i < count; ++i) {
    CK_TOKEN_INFO info{};
    if (module->C_GetTokenInfo(slots[i], &info) != CKR_OK || (info.flags & CKF_TOKEN_INITIALIZED) == 0) continue;
    if (fits(info, slots[i], uri)) found.push_back(slots[i]);
  }
  if (found.empty()) return fail(ErrorCode::not_found, "no token of that name is there", uri.token);
  if (found.size() > 1) return fail(ErrorCode::invalid_argument, "several tokens fit the PKCS#11 URI", uri.token, "name one with token=, serial= or slot-id=");
  return found[0];
}

}  // namespace

struct TokenKey::State {
  std::unique_ptr<Pkcs11Module> module;
  CK_SESSION_HANDLE session = 0;
  bool has_session = false;
  CK_OBJECT_HANDLE private_key = 0;
  std::optional<PublicKey> public_key;

  ~State() {
    if (has_session) (*module)->C_CloseSession(session);
  }

  Result<std::vector<CK_OBJECT_HANDLE>> find(CK_OBJECT_CLASS kind, const std::string& label, const Bytes& id) const {
    CK_KEY_TYPE type = CKK_EC;
    std::vector<CK_ATTRIBUTE> wanted = {{CKA_CLASS, &kind, sizeof kind}, {CKA_KEY_TYPE, &type, sizeof type}};
    if (!label.empty()) wanted.push_back({CKA_LABEL, const_cast<char*>(label.data()), label.size()});
    if (!id.empty()) wanted.push_back({CKA_ID, const_cast<std::uint8_t*>(id.data()), id.size()});
    TRY(check((*module)->C_FindObjectsInit(session, wanted.data(), wanted.size()), "look for the key"));
    CK_OBJECT_HANDLE objects[kObjectsMax];
    CK_ULONG count = 0;
    const CK_RV answer = (*module)->C_FindObjects(session, objects, kObjectsMax, &count);
    (*module)->C_FindObjectsFinal(session);
    TRY(check(answer, "look for the key"));
    return std::vector<CK_OBJECT_HANDLE>(objects, objects + std::min(count, kObjectsMax));
  }

  Result<Bytes> attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) const {
    CK_ATTRIBUTE wanted{type, nullptr, 0};
    TRY(check((*module)->C_GetAttributeValue(session, object, &wanted, 1), "read the key's attributes"));
    if (wanted.ulValueLen > kAttributeBytesMax) return fail(ErrorCode::limit_exceeded, "an attribute of the key is too long");
    Bytes value(wanted.ulValueLen);
    wanted.pValue = value.data();
    TRY(check((*module)->C_GetAttributeValue(session, object, &wanted, 1), "read the key's attributes"));
    return value;
  }

  // The public half stands beside the private one, under the same id and label.
  Status find_key(const Pkcs11Uri& uri) {
    const auto keys = TRY(find(CKO_PRIVATE_KEY, uri.object, uri.id));
    if (keys.empty()) return fail(ErrorCode::not_found, "the token has no EC key of that name", uri.object);
    if (keys.size() > 1) return fail(ErrorCode::invalid_argument, "several keys fit the PKCS#11 URI", uri.object, "name one with id=");
    private_key = keys[0];
    const Bytes id = TRY(attribute(private_key, CKA_ID));
    const Bytes label = TRY(attribute(private_key, CKA_LABEL));
    const auto publics = TRY(find(CKO_PUBLIC_KEY, to_text(label), id));
    if (publics.size() != 1) return fail(ErrorCode::not_found, "the key's public half does not stand beside it in the token", uri.object);
    public_key = TRY(read_public(publics[0]));
    return {};
  }

  Result<PublicKey> read_public(CK_OBJECT_HANDLE object) const {
    const Bytes parameters = TRY(attribute(object, CKA_EC_PARAMS));
    Bytes point = TRY(attribute(object, CKA_EC_POINT));
    // An OCTET STRING around the point: up to 127 bytes have a length of one byte, P-521's 133 have two.
    const std::size_t start = point.size() > 2 && point[0] == 0x04 && point[1] == point.size() - 2                       ? 2
                              : point.size() > 3 && point[0] == 0x04 && point[1] == 0x81 && point[2] == point.size() - 3 ? 3
                                                                                                                         : 0;
    point.erase(point.begin(), point.begin() + static_cast<std::ptrdiff_t>(start));
    for (const auto& curve : kTokenCurves) {
      if (text_of(parameters) == curve.parameters) return PublicKey::from_ec_point(curve.algorithm, point);
    }
    return fail(ErrorCode::unsupported, "the token's key is not over P-256, P-384 or P-521");
  }
};

TokenKey::TokenKey(std::unique_ptr<State> state) : state_(std::move(state)) {}
TokenKey::~TokenKey() = default;

Result<std::unique_ptr<TokenKey>> TokenKey::open(const Pkcs11Uri& uri, const Secret& pin) {
  auto state = std::make_unique<State>();
  state->module = TRY(Pkcs11Module::load(TRY(module_of(uri))));
  const Pkcs11Module& module = *state->module;
  const CK_SLOT_ID slot = TRY(find_slot(module, uri));
  TRY(check(module->C_OpenSession(slot, CKF_SERIAL_SESSION, nullptr, nullptr, &state->session), "open a session"));
  state->has_session = true;
  const auto digits = pin.reveal(SecretAccess::for_crypto());
  const CK_RV login = module->C_Login(state->session, CKU_USER, const_cast<unsigned char*>(digits.data()), digits.size());
  if (login != CKR_USER_ALREADY_LOGGED_IN) TRY(check(login, "log in to the token"));
  TRY(state->find_key(uri));
  return std::unique_ptr<TokenKey>(new TokenKey(std::move(state)));
}

const PublicKey& TokenKey::public_key() const { return *state_->public_key; }

Result<Bytes> TokenKey::sign(ByteView message) const {
  const Pkcs11Module& module = *state_->module;
  CK_MECHANISM mechanism{CKM_ECDSA, nullptr, 0};
  TRY(check(module->C_SignInit(state_->session, &mechanism, state_->private_key), "sign"));
  Bytes digest = ecdsa_digest(public_key().algorithm(), message);
  Bytes signature(2 * 66);
  CK_ULONG size = signature.size();
  TRY(check(module->C_Sign(state_->session, digest.data(), digest.size(), signature.data(), &size), "sign"));
  signature.resize(std::min<std::size_t>(size, signature.size()));
  auto der = TRY(ecdsa_der_of(signature));
  if (!public_key().verify(message, der)) return fail(ErrorCode::unavailable, "the token's signature does not verify with the public key beside it");
  return der;
}

}  // namespace redoubt::crypto
