// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "stages/data/detectors.h"

#include <pcre2.h>

#include <algorithm>
#include <cctype>
#include <iterator>

namespace redoubt::stages::data {
namespace {

struct Rule {
  const char* kind;
  Severity severity;
  const char* expression;
  bool (*confirm)(std::string_view);
};

// Quantifiers are bounded or possessive, so that no text makes a match take more than linear time.
constexpr Rule kRules[] = {
    {"AWS_ACCESS_KEY", Severity::error, R"(\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b)", nullptr},
    {"GITHUB_TOKEN", Severity::error, R"(\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})\b)", nullptr},
    {"HUGGINGFACE_TOKEN", Severity::error, R"(\bhf_[A-Za-z0-9]{30,64}\b)", nullptr},
    {"OPENAI_KEY", Severity::error, R"(\bsk-(?:proj-|svcacct-|ant-)?[A-Za-z0-9_-]{32,200}\b)", nullptr},
    {"SLACK_TOKEN", Severity::error, R"(\bxox[abeoprs]-[A-Za-z0-9-]{10,250}\b)", nullptr},
    {"GOOGLE_API_KEY", Severity::error, R"(\bAIza[A-Za-z0-9_-]{35}\b)", nullptr},
    {"STRIPE_KEY", Severity::error, R"(\b[rs]k_live_[A-Za-z0-9]{20,250}\b)", nullptr},
    {"PRIVATE_KEY", Severity::error, R"(-----BEGIN (?:[A-Z]{2,12} )?PRIVATE KEY-----)", nullptr},
    {"JWT", Severity::error, R"(\beyJ[A-Za-z0-9_-]{8,2000}+\.eyJ[A-Za-z0-9_-]{8,4000}+\.[A-Za-z0-9_-]{16,1000}+)", nullptr},
    {"EMAIL_ADDRESS", Severity::error,
     R"((?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}+@(?:[A-Za-z0-9-]{1,63}+\.){1,8}[A-Za-z]{2,24}\b)", nullptr},
    {"CREDIT_CARD", Severity::error, R"((?<![0-9.-])[3-6](?:[ -]?[0-9]){12,18}(?![0-9]))", passes_luhn},
    {"IBAN_CODE", Severity::error, R"(\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b)", passes_iban_check},
    {"US_SSN", Severity::error, R"((?<![0-9-])(?!000|666|9[0-9]{2})[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9-]))", nullptr},
    {"PHONE_NUMBER", Severity::warning, R"((?<![0-9A-Za-z.])\+[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{2,4}\)?){2,5}(?![0-9]))", nullptr},
    {"IP_ADDRESS", Severity::warning, R"((?<![0-9.])(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})(?![0-9.]))", nullptr},
    {"HIDDEN_TAG", Severity::error, R"([\x{E0000}-\x{E007F}])", nullptr},
    {"BIDI_CONTROL", Severity::error, R"([\x{202A}-\x{202E}\x{2066}-\x{2069}])", nullptr},
    {"ZERO_WIDTH", Severity::warning, R"([\x{200B}\x{2060}\x{FEFF}])", nullptr},
    {"CONTROL_CHARACTER", Severity::warning, R"([\x{00}-\x{08}\x{0B}\x{0C}\x{0E}-\x{1F}\x{7F}])", nullptr},
};
constexpr std::size_t kMatchesMax = 1000;  // of one kind in one text

}  // namespace

struct Detectors::Pattern {
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  };
  const Rule* rule;
  std::unique_ptr<pcre2_code, Free> code;
};

const char* to_string(Severity severity) { return severity == Severity::error ? "error" : "warning"; }

Detectors::Detectors(std::vector<Pattern> patterns) : patterns_(std::move(patterns)) {}
Detectors::~Detectors() = default;

Result<std::unique_ptr<Detectors>> Detectors::create() {
  std::vector<Pattern> patterns;
  for (const Rule& rule : kRules) {
    int error = 0;
    PCRE2_SIZE at = 0;
    pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(rule.expression), PCRE2_ZERO_TERMINATED, PCRE2_UTF, &error, &at, nullptr);
    if (code == nullptr) return fail(ErrorCode::internal, "a detector does not compile", rule.kind);
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it the matcher is only slower
    patterns.push_back({&rule, std::unique_ptr<pcre2_code, Pattern::Free>(code)});
  }
  return std::unique_ptr<Detectors>(new Detectors(std::move(patterns)));
}

std::vector<Match> Detectors::scan(std::string_view text) const {
  std::vector<Match> matches;
  for (const auto& pattern : patterns_) {
    std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data(pcre2_match_data_create_from_pattern(pattern.code.get(), nullptr),
                                                                        [](pcre2_match_data* d) { pcre2_match_data_free(d); });
    std::size_t from = 0;
    for (std::size_t count = 0; from < text.size() && count < kMatchesMax; ++count) {
      const int found = pcre2_match(pattern.code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, 0, data.get(), nullptr);
      if (found == PCRE2_ERROR_NOMATCH) break;
      if (found < 0) {  // the matcher gave up on a limit: whatever is there was not cleared
        matches.push_back({"UNSCANNABLE", Severity::error, from, text.size() - from});
        break;
      }
      const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
      const auto matched = text.substr(ends[0], ends[1] - ends[0]);
      if (pattern.rule->confirm == nullptr || pattern.rule->confirm(matched)) {
        matches.push_back({pattern.rule->kind, pattern.rule->severity, ends[0], matched.size()});
      }
      from = std::max<std::size_t>(ends[1], ends[0] + 1);
    }
  }
  std::sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) { return a.offset < b.offset; });
  return matches;
}

bool passes_luhn(std::string_view text) {
  int sum = 0, count = 0;
  for (auto at = text.rbegin(); at != text.rend(); ++at) {
    if (!std::isdigit(static_cast<unsigned char>(*at))) continue;
    int digit = *at - '0';
    if (count++ % 2 == 1) digit = digit > 4 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return count >= 12 && count <= 19 && sum % 10 == 0;
}

bool passes_iban_check(std::string_view text) {
  std::string compact;
  std::copy_if(text.begin(), text.end(), std::back_inserter(compact), [](char c) { return c != ' '; });
  if (compact.size() < 15 || compact.size() > 34) return false;
  int remainder = 0;
  for (std::size_t i = 0; i < compact.size(); ++i) {
    const char c = compact[(i + 4) % compact.size()];
    const int value = std::isdigit(static_cast<unsigned char>(c)) ? c - '0' : c - 'A' + 10;
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97;
  }
  return remainder == 1;
}

}  // namespace redoubt::stages::data
