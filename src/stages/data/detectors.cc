// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "stages/data/detectors.h"

#include <pcre2.h>

#include <algorithm>

#include "rows/lines.h"
#include "stages/data/numbers.h"

namespace redoubt::stages::data {
namespace {

struct Rule {
  const char* kind;
  Severity severity;
  const char* expression;
  // How much of the start of what matched is real (0: none), for kinds that carry their own check.
  std::size_t (*real_length)(std::string_view);
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
    {"PRIVATE_KEY", Severity::error, R"(-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----|\bPuTTY-User-Key-File-[23]:)", nullptr},
    {"AWS_SECRET_KEY", Severity::error,
     R"((?i)\baws_?secret_?(?:access_?)?key["' ]{0,3}[=:]["' ]{0,3}(?-i)[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=]))", nullptr},
    {"AZURE_STORAGE_KEY", Severity::error, R"(\bAccountKey=[A-Za-z0-9/+]{86}==)", nullptr},
    {"GITLAB_TOKEN", Severity::error, R"(\bgl(?:pat|ptt|rt|dt)-[A-Za-z0-9_-]{20,64}\b)", nullptr},
    {"NPM_TOKEN", Severity::error, R"(\bnpm_[A-Za-z0-9]{36}\b)", nullptr},
    {"PYPI_TOKEN", Severity::error, R"(\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,250})", nullptr},
    {"SENDGRID_KEY", Severity::error, R"(\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b)", nullptr},
    {"SLACK_WEBHOOK", Severity::error, R"(hooks\.slack\.com/services/T[A-Za-z0-9_]{6,16}/B[A-Za-z0-9_]{6,16}/[A-Za-z0-9]{20,32})", nullptr},
    {"JWT", Severity::error, R"(\beyJ[A-Za-z0-9_-]{8,2000}+\.eyJ[A-Za-z0-9_-]{8,4000}+\.[A-Za-z0-9_-]{16,1000}+)", nullptr},
    {"EMAIL_ADDRESS", Severity::error,
     R"((?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}+@(?:[A-Za-z0-9-]{1,63}+\.){1,8}[A-Za-z]{2,24}\b)", nullptr},
    {"CREDIT_CARD", Severity::error, R"((?<![0-9.-])[2-68](?:[ -]?[0-9]){12,18}(?![0-9]))", card_length},
    {"IBAN_CODE", Severity::error, R"(\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30})", iban_length},
    {"US_SSN", Severity::error, R"((?<![0-9-])(?!000|666|9[0-9]{2})[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9-]))", nullptr},
    {"PHONE_NUMBER", Severity::warning, R"((?<![0-9A-Za-z.])\+[1-9][0-9]{0,2}(?:[ .-]?\(?[0-9]{2,4}\)?){2,5}(?![0-9]))", nullptr},
    {"PHONE_NUMBER", Severity::warning, R"((?<![0-9A-Za-z.+-])(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[.-][0-9]{4}(?![0-9-]))", nullptr},
    {"IP_ADDRESS", Severity::warning, R"((?<![0-9.])(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})(?![0-9.]))", nullptr},
    {"HIDDEN_TAG", Severity::error, R"([\x{E0000}-\x{E007F}])", nullptr},
    {"HIDDEN_TAG", Severity::error, R"([\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]{2,})", nullptr},  // bytes hidden in variation selectors
    {"BIDI_CONTROL", Severity::error, R"([\x{202A}-\x{202E}\x{2066}-\x{2069}])", nullptr},
    {"ZERO_WIDTH", Severity::warning, R"([\x{AD}\x{180E}\x{200B}\x{2060}-\x{2064}\x{FEFF}\x{FFF9}-\x{FFFB}])", nullptr},
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

void Detectors::scan(const Pattern& pattern, std::string_view text, std::vector<Match>& matches) const {
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data(pcre2_match_data_create_from_pattern(pattern.code.get(), nullptr),
                                                                            [](pcre2_match_data* d) { pcre2_match_data_free(d); });
  std::size_t from = 0;
  for (std::size_t count = 0; from < text.size() && count < kMatchesMax;) {
    const int found = pcre2_match(pattern.code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, PCRE2_NO_UTF_CHECK, data.get(), nullptr);
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found < 0) {  // the matcher gave up on a limit: whatever is there was not cleared
      matches.push_back({"UNSCANNABLE", Severity::error, from, text.size() - from});
      return;
    }
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(data.get());
    const auto candidate = text.substr(ends[0], ends[1] - ends[0]);
    const std::size_t length = pattern.rule->real_length == nullptr ? candidate.size() : pattern.rule->real_length(candidate);
    if (length > 0) {
      matches.push_back({pattern.rule->kind, pattern.rule->severity, ends[0], length});
      ++count;
    }
    // A candidate that is nothing may hide the start of something: one byte on (candidates with a check are ASCII).
    from = ends[0] + std::max<std::size_t>(length, 1);
  }
}

std::vector<Match> Detectors::scan(std::string_view text) const {
  std::vector<Match> matches;
  if (rows::first_invalid_utf8(text) != text.npos) return {{"UNSCANNABLE", Severity::error, 0, text.size()}};
  for (const auto& pattern : patterns_) scan(pattern, text, matches);
  std::stable_sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) { return a.offset < b.offset; });
  return matches;
}

}  // namespace redoubt::stages::data
