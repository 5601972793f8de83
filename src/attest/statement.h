// SPDX-License-Identifier: Apache-2.0
//
// in-toto Statement v1 (https://in-toto.io/Statement/v1): what a claim is about (subjects, by digest) and what it says
// (a predicate of a named type). A statement by itself proves nothing; it travels signed, in an Envelope (attest/dsse.h).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"

namespace redoubt::attest {

inline constexpr const char* kStatementType = "https://in-toto.io/Statement/v1";
inline constexpr const char* kStatementPayloadType = "application/vnd.in-toto+json";
inline constexpr std::size_t kStatementBytesMax = 1 << 20;

struct Subject {
  std::string name;
  Digest digest;  // SHA-256; other algorithms of a foreign statement are refused

  bool operator==(const Subject&) const = default;
};

struct Statement {
  std::vector<Subject> subjects;  // at least one
  std::string predicate_type;     // a URI
  Json predicate = Json::object();
};

// The predicate type of Redoubt's own step `step`: "urn:redoubt:predicate:<step>:v1".
std::string predicate_type_of(std::string_view step);

// Canonical bytes: compact JSON, keys sorted. Equal statements give equal bytes.
std::string to_text(const Statement& statement);

// Strict: exactly the members `_type`, `subject`, `predicateType` and `predicate`; every subject with a name and one SHA-256
// digest in lower case. Errors are invalid_argument or limit_exceeded and name `where`.
Result<Statement> parse_statement(std::string_view text, std::string_view where);

// The SHA-256 of the canonical bytes: how one statement names another.
Digest digest_of(const Statement& statement);

}  // namespace redoubt::attest
