// SPDX-License-Identifier: Apache-2.0
#include "crypto/certificate_chain.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "base/check.h"
#include "crypto/hash.h"
#include "crypto/openssl_handles.h"

namespace redoubt::crypto {
namespace {

void free_certificates(STACK_OF(X509) * certificates) { sk_X509_pop_free(certificates, X509_free); }

using Certificates = std::unique_ptr<STACK_OF(X509), FreeBy<free_certificates>>;
using Store = std::unique_ptr<X509_STORE, FreeBy<X509_STORE_free>>;
using StoreContext = std::unique_ptr<X509_STORE_CTX, FreeBy<X509_STORE_CTX_free>>;

constexpr std::size_t kChainPemBytesMax = 1 << 20;
constexpr std::size_t kCertificateBytesMax = 64 << 10;
constexpr int kSecurityLevel = 2;  // 112 bits: no SHA-1, no RSA below 2048

tl::unexpected<Error> refused(std::string why, std::string where = {}) {
  return fail(ErrorCode::permission_denied, std::move(why), std::move(where));
}

Result<Certificate> certificate_from_der(ByteView der) {
  if (der.size() > kCertificateBytesMax) return fail(ErrorCode::limit_exceeded, "a certificate is at most 64 KiB");
  const unsigned char* at = der.data();
  Certificate certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  if (certificate == nullptr || at != der.data() + der.size()) return fail(ErrorCode::invalid_argument, "not a certificate in DER");
  return certificate;
}

Result<Bytes> der_of(X509* certificate) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  if (size <= 0) return fail(ErrorCode::invalid_argument, "a certificate that can't be written");
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

Result<TimePoint> validity_time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return fail(ErrorCode::invalid_argument, "a certificate without a valid time");
  return TimePoint(std::chrono::seconds(::timegm(&parts)));
}

std::string name_of(const X509_NAME* name) {
  Bio bio(BIO_new(BIO_s_mem()));
  CHECK(bio != nullptr);
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

// A text without control characters: an identity is compared and shown, and a NUL in it has fooled many.
void add_text(std::vector<std::string>& names, const ASN1_STRING* value) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, value);
  if (size <= 0) return;
  std::string text(reinterpret_cast<char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  for (unsigned char c : text) {
    if (c < 0x20 || c == 0x7f) return;
  }
  names.push_back(std::move(text));
}

std::vector<std::string> names_of(X509* certificate) {
  std::vector<std::string> found;
  const auto* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) add_text(found, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  const GeneralNames names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const auto* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_EMAIL || name->type == GEN_URI || name->type == GEN_DNS) add_text(found, name->d.ia5);
  }
  return found;
}

Result<PublicKey> key_of(X509* certificate) {
  Bio bio(BIO_new(BIO_s_mem()));
  EVP_PKEY* key = X509_get0_pubkey(certificate);
  if (key == nullptr || PEM_write_bio_PUBKEY(bio.get(), key) != 1) return fail(ErrorCode::invalid_argument, "a certificate without a readable key");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  auto parsed = TRY(PublicKey::from_pem({data, static_cast<std::size_t>(size)}));
  if (parsed.algorithm() == SignatureAlgorithm::ed25519) return fail(ErrorCode::invalid_argument, "the certificate's key is not ECDSA over P-256, P-384 or P-521");
  return parsed;
}

Result<CertifiedSigner> describe(X509* certificate) {
  CertifiedSigner signer{.key = TRY(key_of(certificate)), .subject = name_of(X509_get_subject_name(certificate)), .issuer = name_of(X509_get_issuer_name(certificate)),
                         .names = names_of(certificate), .fingerprint = {}};
  signer.not_before = TRY(validity_time_of(X509_get0_notBefore(certificate)));
  signer.not_after = TRY(validity_time_of(X509_get0_notAfter(certificate)));
  signer.fingerprint = sha256(TRY(der_of(certificate)));
  return signer;
}

bool has_usage(X509* certificate, std::uint32_t usage) {
  const bool is_there = (X509_get_extension_flags(certificate) & EXFLAG_KUSAGE) != 0;
  return !is_there || (X509_get_key_usage(certificate) & usage) != 0;
}

// Signing has to be what the leaf is for: a usage that says so must be there, and none that says otherwise.
Status check_leaf(X509* leaf) {
  const auto flags = X509_get_extension_flags(leaf);
  if ((flags & EXFLAG_INVALID) != 0) return refused("the signer's certificate has extensions that can't be read", name_of(X509_get_subject_name(leaf)));
  const std::string subject = name_of(X509_get_subject_name(leaf));
  if ((flags & EXFLAG_CA) != 0 && has_usage(leaf, KU_KEY_CERT_SIGN)) return refused("the signer's certificate is an authority's; a signer is none", subject);
  const bool has_extended = (flags & EXFLAG_XKUSAGE) != 0;
  if (!has_usage(leaf, KU_DIGITAL_SIGNATURE)) return refused("the signer's certificate is not for digital signatures (key usage)", subject);
  if (has_extended && (X509_get_extended_key_usage(leaf) & XKU_CODE_SIGN) == 0)
    return refused("the signer's certificate is not for code signing (extended key usage)", subject);
  if ((flags & EXFLAG_KUSAGE) == 0 && !has_extended) return refused("the signer's certificate does not say that it is for signing (key usage)", subject);
  return {};
}

Status check_issuer(X509* issuer) {
  const std::string subject = name_of(X509_get_subject_name(issuer));
  if (X509_check_ca(issuer) != 1) return refused("an issuer's certificate is none of an authority (basic constraints)", subject);
  if (!has_usage(issuer, KU_KEY_CERT_SIGN)) return refused("an issuer's certificate may not sign certificates (key usage)", subject);
  const bool has_extended = (X509_get_extension_flags(issuer) & EXFLAG_XKUSAGE) != 0;
  if (has_extended && (X509_get_extended_key_usage(issuer) & (XKU_CODE_SIGN | XKU_ANYEKU)) == 0)
    return refused("an issuer may not issue for code signing (extended key usage)", subject);
  return {};
}

Result<Store> store_of(const std::vector<Bytes>& authorities, TimePoint at) {
  Store store(X509_STORE_new());
  CHECK(store != nullptr);
  for (const auto& der : authorities) {
    const auto authority = TRY(certificate_from_der(der));
    if (X509_STORE_add_cert(store.get(), authority.get()) != 1) return fail(ErrorCode::invalid_argument, "an authority's certificate can't be used");
  }
  X509_VERIFY_PARAM* parameters = X509_STORE_get0_param(store.get());
  X509_VERIFY_PARAM_set_time(parameters, static_cast<time_t>(std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count()));
  X509_VERIFY_PARAM_set_auth_level(parameters, kSecurityLevel);
  X509_VERIFY_PARAM_set_depth(parameters, static_cast<int>(kChainCertificatesMax));
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_CHECK_SS_SIGNATURE);
  return store;
}

Result<Certificates> stack_of(const std::vector<Bytes>& chain) {
  Certificates stack(sk_X509_new_null());
  for (std::size_t i = 1; i < chain.size(); ++i) {
    auto certificate = TRY(certificate_from_der(chain[i]));
    CHECK(sk_X509_push(stack.get(), certificate.release()) > 0);
  }
  return stack;
}

}  // namespace

Result<std::vector<Bytes>> certificates_from_pem(std::string_view pem) {
  if (pem.size() > kChainPemBytesMax) return fail(ErrorCode::limit_exceeded, "certificates in PEM are at most 1 MiB");
  std::size_t announced = 0;
  for (auto at = pem.find("-----BEGIN "); at != pem.npos; at = pem.find("-----BEGIN ", at + 1)) ++announced;
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  std::vector<Bytes> certificates;
  while (const Certificate certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) certificates.push_back(TRY(der_of(certificate.get())));
  ERR_clear_error();
  if (certificates.empty()) return fail(ErrorCode::invalid_argument, "no certificate in PEM");
  if (certificates.size() != announced) return fail(ErrorCode::invalid_argument, "something else than certificates stands among them");
  return certificates;
}

Result<CertifiedSigner> read_signer(ByteView leaf) { return describe(TRY(certificate_from_der(leaf)).get()); }

Result<CertifiedSigner> verify_signer(const std::vector<Bytes>& chain, const std::vector<Bytes>& authorities, TimePoint at) {
  if (chain.empty() || chain.size() > kChainCertificatesMax) return refused(fmt::format("a chain has 1 to {} certificates", kChainCertificatesMax));
  const auto leaf = TRY(certificate_from_der(chain[0]));
  const auto others = TRY(stack_of(chain));
  const auto store = TRY(store_of(authorities, at));
  StoreContext context(X509_STORE_CTX_new());
  CHECK(context != nullptr && X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), others.get()) == 1);
  const bool is_verified = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (!is_verified) {
    const int error = X509_STORE_CTX_get_error(context.get());
    const X509* at_fault = X509_STORE_CTX_get_current_cert(context.get());
    return refused(fmt::format("the signer's certificate is not accepted: {}", X509_verify_cert_error_string(error)),
                   at_fault == nullptr ? "" : name_of(X509_get_subject_name(at_fault)));
  }
  TRY(check_leaf(leaf.get()));
  const STACK_OF(X509)* path = X509_STORE_CTX_get0_chain(context.get());
  for (int i = 1; i < sk_X509_num(path); ++i) TRY(check_issuer(sk_X509_value(path, i)));
  return describe(leaf.get());
}

}  // namespace redoubt::crypto
