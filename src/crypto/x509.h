// SPDX-License-Identifier: Apache-2.0
//
// The certificates of a workspace (RFC 5280): a small CA, and the server and client certificates it issues. P-256 with
// SHA-256, as every TLS client takes it. A CA made here has a path length of 0: what it issues can issue nothing.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "crypto/sign.h"

namespace redoubt::crypto {

struct CertificateAndKey {
  std::string certificate;  // PEM
  SigningKey key;           // to_pem() gives the PKCS#8 that TLS libraries read; it is the caller's to seal
};

struct CaOptions {
  std::string common_name = "Redoubt CA";
  TimePoint not_before{};  // commonly now less some minutes, for clocks that differ
  int days = 3650;
};
// A self-signed CA certificate. invalid_argument for an empty or long name or a validity beyond 1 to 36,500 days.
Result<CertificateAndKey> make_ca(const CaOptions& options);

enum class LeafUse { server, client, peer };  // peer: both, for equals that call each other

struct LeafOptions {
  LeafUse use = LeafUse::server;
  std::string common_name = {};  // of a client: the identity it speaks for; of the others: for people, clients ignore it
  std::vector<std::string> dns_names = {};     // "localhost", "*.example.org"; all but a client need a name or an address
  std::vector<std::string> ip_addresses = {};  // "127.0.0.1", "::1"
  TimePoint not_before{};
  int days = 90;  // never beyond the CA's own end
};
// Whether a certificate can be for that name or address.
bool is_dns_name(std::string_view name);
bool is_ip_address(const std::string& text);

// A certificate over a new key, issued by the CA. invalid_argument for names or addresses that are none, or for a CA that is
// none.
Result<CertificateAndKey> issue_leaf(const CertificateAndKey& ca, const LeafOptions& options);

struct CertificateInfo {
  std::string common_name;
  std::vector<std::string> dns_names, ip_addresses;
  TimePoint not_before{}, not_after{};
  bool is_ca = false;
  Digest fingerprint;  // SHA-256 of the DER form
};
// Reads the first certificate of a PEM text of at most 1 MiB; invalid_argument.
Result<CertificateInfo> read_certificate(std::string_view pem);

// Puts a CA back together from its stored parts; invalid_argument when the key is not the certificate's.
Result<CertificateAndKey> load_certificate(std::string certificate_pem, const Secret& key_pem);

}  // namespace redoubt::crypto
