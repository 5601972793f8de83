// SPDX-License-Identifier: Apache-2.0
//
// Rules over texts: patterns of injected prompts, jailbreaks, and answers that carry data away (docs/formats/rule_pack.md). A pack that does
// not come with the program is read only out of a DSSE envelope that a named key signed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "attest/dsse.h"
#include "guards/options.h"

namespace redoubt::guards {

inline constexpr const char* kRulePackType = "application/vnd.redoubt.rule-pack+json";
inline constexpr std::size_t kRulesMax = 1000, kPatternBytesMax = 2000;

struct PatternRule {
  std::string id;        // small letters, digits and hyphens
  std::string severity;  // low, medium, high, critical
  std::string pattern;   // PCRE2, without regard to case
  Action action = Action::log;
  bool input = true, output = false;
  std::string meaning;
};

// From the JSON of a pack. invalid_argument names the rule.
Result<std::vector<PatternRule>> parse_rules(std::string_view json, const std::string& where);
// tampered unless the envelope holds a signature by the key.
Result<std::vector<PatternRule>> open_rule_pack(std::string_view envelope, const crypto::PublicKey& key, const std::string& where);
// The envelope over rules that parse.
Result<std::string> sign_rule_pack(std::string_view json, const crypto::SigningKey& key, const std::string& where);
// Those that come with the program (config/guards/rules.json).
Result<std::vector<PatternRule>> own_rules();

}  // namespace redoubt::guards
