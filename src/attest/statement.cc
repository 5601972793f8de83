// SPDX-License-Identifier: Apache-2.0
#include "attest/statement.h"

#include <fmt/format.h>

#include "crypto/hash.h"

namespace redoubt::attest {
namespace {

constexpr std::size_t kSubjectsMax = 4096;

Result<Subject> parse_subject(const Json& value, std::string_view where) {
  auto name = TRY(json_string(value, "name", where));
  const auto digest = TRY(json_object(value, "digest", where));
  if (value.size() != 2 || digest.size() != 1) {
    return fail(ErrorCode::invalid_argument, "a subject has members other than a name and one SHA-256 digest",
                std::string(where));
  }
  const auto hex = TRY(json_string(digest, "sha256", where));
  auto parsed = Digest::parse(hex);
  if (!parsed || parsed->hex() != hex) {
    return fail(ErrorCode::invalid_argument, "a subject's digest is not 64 lower-case hexadecimal digits",
                std::string(where));
  }
  return Subject{std::move(name), *parsed};
}

}  // namespace

std::string predicate_type_of(std::string_view step) { return fmt::format("urn:redoubt:predicate:{}:v1", step); }

std::string to_text(const Statement& statement) {
  Json subjects = Json::array();
  for (const auto& subject : statement.subjects) {
    subjects.push_back({{"name", subject.name}, {"digest", {{"sha256", subject.digest.hex()}}}});
  }
  return dump_json({{"_type", kStatementType},
                    {"subject", std::move(subjects)},
                    {"predicateType", statement.predicate_type},
                    {"predicate", statement.predicate}});
}

Result<Statement> parse_statement(std::string_view text, std::string_view where) {
  const auto json = TRY(parse_json(text, where, {.bytes_max = kStatementBytesMax, .depth_max = 32}));
  if (TRY(json_string(json, "_type", where)) != kStatementType) {
    return fail(ErrorCode::invalid_argument, "not an in-toto Statement v1", std::string(where));
  }
  const auto subjects = TRY(json_array(json, "subject", where));
  if (json.size() != 4) return fail(ErrorCode::invalid_argument, "a statement with unknown members", std::string(where));
  if (subjects.empty()) return fail(ErrorCode::invalid_argument, "a statement about nothing", std::string(where));
  if (subjects.size() > kSubjectsMax) return fail(ErrorCode::limit_exceeded, "too many subjects", std::string(where));
  Statement statement;
  for (const auto& subject : subjects) statement.subjects.push_back(TRY(parse_subject(subject, where)));
  statement.predicate_type = TRY(json_string(json, "predicateType", where));
  statement.predicate = TRY(json_object(json, "predicate", where));
  return statement;
}

Digest digest_of(const Statement& statement) { return crypto::sha256(to_text(statement)); }

}  // namespace redoubt::attest
