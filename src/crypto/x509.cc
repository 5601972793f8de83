// SPDX-License-Identifier: Apache-2.0
#include "crypto/x509.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "base/check.h"
#include "crypto/certificate_info.h"
#include "crypto/hash.h"
#include "crypto/openssl_handles.h"
#include "crypto/random.h"

namespace redoubt::crypto {
namespace {

using Extension = std::unique_ptr<X509_EXTENSION, FreeBy<X509_EXTENSION_free>>;

constexpr std::size_t kPemBytesMax = 1 << 20;

Bio bio_over(ByteView bytes) { return Bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))); }

EvpKey private_key_of(const SigningKey& key) {
  const auto pem = key.to_pem();
  EvpKey parsed(PEM_read_bio_PrivateKey(bio_over(pem.reveal(SecretAccess::for_crypto())).get(), nullptr, nullptr, nullptr));
  CHECK(parsed != nullptr);
  return parsed;
}

Result<Certificate> certificate_from_pem(std::string_view pem) {
  if (pem.size() > kPemBytesMax) return fail(ErrorCode::limit_exceeded, "a certificate in PEM is at most 1 MiB");
  Certificate certificate(PEM_read_bio_X509(bio_over(view_of(pem)).get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) return fail(ErrorCode::invalid_argument, "not a certificate in PEM");
  return certificate;
}

std::string to_pem(X509* certificate) {
  Bio bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_X509(bio.get(), certificate) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

// 20 bytes at most and positive (RFC 5280 section 4.1.2.2); 127 random bits keep serials apart.
void set_serial(X509* certificate) {
  auto bytes = random_bytes(16);
  bytes[0] = (bytes[0] & 0x7f) | 0x40;
  const BigNumber number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  CHECK(number != nullptr && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr);
}

void set_time(ASN1_TIME* time, TimePoint value) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(value).time_since_epoch().count();
  CHECK(ASN1_TIME_adj(time, static_cast<time_t>(seconds), 0, 0) != nullptr);
}

Status set_validity(X509* certificate, TimePoint not_before, int days, TimePoint latest) {
  if (days < 1 || days > 36'500) return fail(ErrorCode::invalid_argument, "a validity has 1 to 36,500 days");
  const TimePoint not_after = std::min(not_before + std::chrono::hours(24 * days), latest);
  if (not_after <= not_before) return fail(ErrorCode::invalid_argument, "the CA ends before the certificate would begin");
  set_time(X509_getm_notBefore(certificate), not_before);
  set_time(X509_getm_notAfter(certificate), not_after);
  return {};
}

Status set_subject(X509* certificate, const std::string& common_name) {
  if (common_name.size() > 64) return fail(ErrorCode::invalid_argument, "a common name has at most 64 bytes", common_name);
  if (common_name.empty()) return {};
  auto* name = X509_get_subject_name(certificate);
  if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common_name.data()),
                                 static_cast<int>(common_name.size()), -1, 0) != 1) {
    return fail(ErrorCode::invalid_argument, "not a common name", common_name);
  }
  return {};
}

void add_extension(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  CHECK(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

void add_name(GENERAL_NAMES* names, int type, ASN1_STRING* value) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  CHECK(name != nullptr && value != nullptr);
  GENERAL_NAME_set0_value(name, type, value);
  CHECK(sk_GENERAL_NAME_push(names, name) > 0);
}

// Built from parts and not from OpenSSL's text form, in which a name with a comma would add others.
Result<GeneralNames> alternative_names(const LeafOptions& options) {
  GeneralNames names(GENERAL_NAMES_new());
  for (const auto& dns : options.dns_names) {
    if (!is_dns_name(dns)) return fail(ErrorCode::invalid_argument, "not a DNS name", dns);
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    CHECK(text != nullptr && ASN1_STRING_set(text, dns.data(), static_cast<int>(dns.size())) == 1);
    add_name(names.get(), GEN_DNS, text);
  }
  for (const auto& address : options.ip_addresses) {
    ASN1_OCTET_STRING* bytes = a2i_IPADDRESS(address.c_str());
    if (bytes == nullptr) return fail(ErrorCode::invalid_argument, "not an IP address", address);
    add_name(names.get(), GEN_IPADD, bytes);
  }
  return names;
}

struct Draft {
  Certificate certificate;
  SigningKey key;
};

Result<Draft> draft(const std::string& common_name, TimePoint not_before, int days, TimePoint latest) {
  Draft made{Certificate(X509_new()), SigningKey::generate(SignatureAlgorithm::ecdsa_p256)};
  CHECK(made.certificate != nullptr && X509_set_version(made.certificate.get(), X509_VERSION_3) == 1);
  set_serial(made.certificate.get());
  TRY(set_validity(made.certificate.get(), not_before, days, latest));
  TRY(set_subject(made.certificate.get(), common_name));
  CHECK(X509_set_pubkey(made.certificate.get(), private_key_of(made.key).get()) == 1);
  return made;
}

Result<TimePoint> time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1)
    return fail(ErrorCode::invalid_argument, "a certificate holds a time that is none");
  return TimePoint(std::chrono::seconds(::timegm(&parts)));
}

std::string text_of_name(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::string common_name_of(X509* certificate) {
  const auto* name = X509_get_subject_name(certificate);
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  return index < 0 ? "" : text_of_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)));
}

void read_alternative_names(X509* certificate, CertificateInfo& info) {
  const GeneralNames names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const auto* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) info.dns_names.push_back(text_of_name(name->d.dNSName));
    if (name->type != GEN_IPADD) continue;
    const auto bytes = text_of_name(name->d.iPAddress);
    char text[INET6_ADDRSTRLEN] = {};
    const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
    if ((bytes.size() == 4 || bytes.size() == 16) && ::inet_ntop(family, bytes.data(), text, sizeof text) != nullptr) {
      info.ip_addresses.emplace_back(text);
    }
  }
}

const char* purposes_of(LeafUse use) {
  return use == LeafUse::server ? "serverAuth" : use == LeafUse::client ? "clientAuth" : "serverAuth,clientAuth";
}

}  // namespace

// Letters, digits and hyphens in labels of at most 63 bytes; the first label may be "*".
bool is_dns_name(std::string_view name) {
  if (name.starts_with("*.")) name.remove_prefix(2);
  if (name.empty() || name.size() > 253) return false;
  while (true) {
    const auto dot = name.find('.');
    const auto label = name.substr(0, dot);
    const bool plain = std::all_of(label.begin(), label.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    });
    if (label.empty() || label.size() > 63 || !plain || label.front() == '-' || label.back() == '-') return false;
    if (dot == name.npos) return true;
    name.remove_prefix(dot + 1);
  }
}

bool is_ip_address(const std::string& text) {
  std::array<std::uint8_t, 16> bytes{};
  return ::inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 || ::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

Result<CertificateAndKey> make_ca(const CaOptions& options) {
  if (options.common_name.empty()) return fail(ErrorCode::invalid_argument, "a CA needs a name");
  auto made = TRY(draft(options.common_name, options.not_before, options.days, TimePoint::max()));
  X509* const certificate = made.certificate.get();
  CHECK(X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1);
  add_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(certificate, certificate, NID_subject_key_identifier, "hash");
  CHECK(X509_sign(certificate, private_key_of(made.key).get(), EVP_sha256()) > 0);
  return CertificateAndKey{to_pem(certificate), std::move(made.key)};
}

Result<CertificateAndKey> issue_leaf(const CertificateAndKey& ca, const LeafOptions& options) {
  const auto issuer = TRY(certificate_from_pem(ca.certificate));
  if (X509_check_ca(issuer.get()) != 1) return fail(ErrorCode::invalid_argument, "the issuer is not a CA");
  const auto names = TRY(alternative_names(options));
  const bool has_names = sk_GENERAL_NAME_num(names.get()) > 0;
  const bool is_client = options.use == LeafUse::client;
  if (!is_client && !has_names)
    return fail(ErrorCode::invalid_argument, "a server certificate needs a DNS name or an IP address");
  if (is_client && options.common_name.empty())
    return fail(ErrorCode::invalid_argument, "a client certificate needs a name");
  const auto issuer_end = TRY(time_of(X509_get0_notAfter(issuer.get())));
  auto made = TRY(draft(options.common_name, options.not_before, options.days, issuer_end));
  X509* const certificate = made.certificate.get();
  CHECK(X509_set_issuer_name(certificate, X509_get_subject_name(issuer.get())) == 1);
  add_extension(certificate, issuer.get(), NID_basic_constraints, "critical,CA:FALSE");
  add_extension(certificate, issuer.get(), NID_key_usage, "critical,digitalSignature");
  add_extension(certificate, issuer.get(), NID_ext_key_usage, purposes_of(options.use));
  add_extension(certificate, issuer.get(), NID_subject_key_identifier, "hash");
  add_extension(certificate, issuer.get(), NID_authority_key_identifier, "keyid:always");
  // Without a subject the names must be critical (RFC 5280 section 4.2.1.6).
  if (has_names) {
    CHECK(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), options.common_name.empty() ? 1 : 0, 0) == 1);
  }
  CHECK(X509_sign(certificate, private_key_of(ca.key).get(), EVP_sha256()) > 0);
  return CertificateAndKey{to_pem(certificate), std::move(made.key)};
}

Result<CertificateInfo> read_certificate(std::string_view pem) {
  const auto certificate = TRY(certificate_from_pem(pem));
  return info_of(certificate.get());
}

Result<CertificateInfo> info_of(X509* certificate) {
  CertificateInfo info;
  info.common_name = common_name_of(certificate);
  info.not_before = TRY(time_of(X509_get0_notBefore(certificate)));
  info.not_after = TRY(time_of(X509_get0_notAfter(certificate)));
  info.is_ca = X509_check_ca(certificate) == 1;
  read_alternative_names(certificate, info);
  unsigned char* der = nullptr;
  const int size = i2d_X509(certificate, &der);
  CHECK(size > 0);
  info.fingerprint = sha256(ByteView(der, static_cast<std::size_t>(size)));
  OPENSSL_free(der);
  return info;
}

Result<CertificateAndKey> load_certificate(std::string certificate_pem, const Secret& key_pem) {
  const auto certificate = TRY(certificate_from_pem(certificate_pem));
  auto key = TRY(SigningKey::from_pem(key_pem));
  if (X509_check_private_key(certificate.get(), private_key_of(key).get()) != 1) {
    return fail(ErrorCode::invalid_argument, "the private key is not the certificate's");
  }
  return CertificateAndKey{std::move(certificate_pem), std::move(key)};
}

}  // namespace redoubt::crypto
