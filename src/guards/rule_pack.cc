// SPDX-License-Identifier: Apache-2.0
#include "guards/rule_pack.h"

#include <algorithm>
#include <set>

#include "guards/expression.h"
#include "own_rules.h"

namespace redoubt::guards {
namespace {

constexpr std::size_t kPackBytesMax = 4 << 20;

bool is_id(std::string_view id) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !id.empty() && id.size() <= 64 && id[0] >= 'a' && id[0] <= 'z' && std::all_of(id.begin(), id.end(), fits);
}

Result<PatternRule> rule_of(const Json& json, const std::string& where) {
  if (!json.is_object()) return fail(ErrorCode::invalid_argument, "a rule is an object", where);
  for (const auto& [name, unused] : json.items())
    if (name != "id" && name != "severity" && name != "pattern" && name != "action" && name != "where" && name != "meaning") return fail(ErrorCode::invalid_argument, "unknown member: " + name, where);
  PatternRule rule;
  rule.id = TRY(json_string(json, "id", where));
  const auto at = where + ": " + rule.id;
  if (!is_id(rule.id)) return fail(ErrorCode::invalid_argument, "an id has small letters, digits and hyphens, at most 64", at);
  rule.severity = TRY(json_string(json, "severity", at));
  if (rule.severity != "low" && rule.severity != "medium" && rule.severity != "high" && rule.severity != "critical") return fail(ErrorCode::invalid_argument, "severity is low, medium, high or critical", at);
  rule.pattern = TRY(json_string(json, "pattern", at));
  if (rule.pattern.empty() || rule.pattern.size() > kPatternBytesMax) return fail(ErrorCode::invalid_argument, "a pattern has 1 to 2000 bytes", at);
  const auto action = action_of_word(TRY(json_string(json, "action", at)));
  if (!action) return fail(ErrorCode::invalid_argument, "action is ignore, log, redact or refuse", at);
  rule.action = *action;
  const std::string side = json_or(json, "where", "input");
  if (side != "input" && side != "output" && side != "both") return fail(ErrorCode::invalid_argument, "where is input, output or both", at);
  rule.input = side != "output";
  rule.output = side != "input";
  rule.meaning = json_or(json, "meaning", "");
  TRY(Expression::compile(rule.pattern, at));
  return rule;
}

}  // namespace

Result<std::vector<PatternRule>> parse_rules(std::string_view text, const std::string& where) {
  const Json json = TRY(parse_json(text, where, {.bytes_max = kPackBytesMax}));
  if (!json.is_object() || json_or(json, "version", std::int64_t{0}) != 1) return fail(ErrorCode::invalid_argument, "not a rule pack of version 1", where);
  const auto list = TRY(json_array(json, "rules", where));
  if (list.size() > kRulesMax) return fail(ErrorCode::limit_exceeded, "a pack holds at most 1000 rules", where);
  std::vector<PatternRule> rules;
  std::set<std::string> ids;
  for (const auto& one : list) {
    auto rule = TRY(rule_of(one, where));
    if (!ids.insert(rule.id).second) return fail(ErrorCode::invalid_argument, "an id stands twice: " + rule.id, where);
    rules.push_back(std::move(rule));
  }
  return rules;
}

Result<std::vector<PatternRule>> open_rule_pack(std::string_view text, const crypto::PublicKey& key, const std::string& where) {
  const auto envelope = TRY(attest::parse_envelope(text, where));
  const auto trusted = [&](std::string_view id) -> std::optional<attest::TrustedKey> {
    if (id != key.key_id()) return std::nullopt;
    return attest::TrustedKey{key, "rule pack"};
  };
  const auto verified = TRY(attest::verify_envelope(envelope, trusted, where));
  if (verified.payload_type != kRulePackType) return fail(ErrorCode::invalid_argument, "the envelope holds no rule pack", where, "its payload type is " + verified.payload_type);
  return parse_rules(to_text(verified.payload), where);
}

Result<std::string> sign_rule_pack(std::string_view json, const crypto::SigningKey& key, const std::string& where) {
  TRY(parse_rules(json, where));
  return attest::to_text(attest::sign_envelope(kRulePackType, view_of(json), key));
}

Result<std::vector<PatternRule>> own_rules() { return parse_rules(kOwnRules, "config/guards/rules.json"); }

}  // namespace redoubt::guards
