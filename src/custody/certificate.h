// SPDX-License-Identifier: Apache-2.0
//
// A certificate of erasure (docs/formats/erasure-certificate.md): the signed statement that the key of a dataset was destroyed, with its
// proof that it stands in the ledger, and the list of the objects that nobody can read since. It is verified without a workspace and
// without a network; the ledger's public key is all that a verifier needs to know.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "attest/dsse.h"
#include "base/clock.h"
#include "base/problem.h"
#include "ledger/tlog_proof.h"

namespace redoubt::custody {

inline constexpr const char* kCertificateFormat = "redoubt-erasure-certificate";
inline constexpr std::size_t kCertificateBytesMax = 32 << 20;

struct CertifiedEntry {
  std::string envelope;  // as it stands in the ledger
  std::string proof;     // tlog-proof
};

struct ErasureCertificate {
  std::string root;                  // the ledger's verifier key, "origin+hash+key"
  std::vector<std::pair<std::string, std::string>> identities;  // name and public key (PEM) of who signed the entries
  std::vector<CertifiedEntry> entries;  // the request where there was one, the decision, then the erasure
  std::vector<std::string> objects;  // keys, sorted; their digest stands in the statement
};

// The digest of a list of objects that a statement carries.
Digest digest_of_objects(const std::vector<std::string>& objects);

// One line of JSON, keys sorted.
std::string encode_certificate(const ErasureCertificate& certificate);
// Takes exactly what encode_certificate writes; tampered for anything else.
Result<ErasureCertificate> parse_certificate(std::string_view text);
bool is_certificate(std::string_view text);

struct CertificateReport {
  std::string root;
  bool root_known = false;  // whether the caller named the key; if not, a person has to compare `root`
  Json erasure = Json::object();  // the statement's result
  std::string identity;  // who decided: approved the request, or gave a one-time code
  std::string requested_by;
  TimePoint erased{};
  std::vector<std::string> objects;
  Problems problems;
};
CertificateReport verify_certificate(std::string_view text, const std::optional<crypto::PublicKey>& root);

}  // namespace redoubt::custody
