// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "detectors/detectors.h"

#include <pcre2.h>

#include <algorithm>
#include <cctype>

#include "base/check.h"
#include "detectors/anchors.h"
#include "detectors/byte_scan.h"
#include "detectors/context.h"
#include "detectors/hidden.h"
#include "detectors/rule.h"
#include "detectors/text_shape.h"
#include "rows/lines.h"

namespace redoubt::detectors {
namespace {

constexpr std::size_t kMatchesMax = 1000;  // of one kind in one text
constexpr std::size_t kGroupsMax = 4;
constexpr unsigned kManyDigits = 4;  // most texts hold fewer in a row, so that the words of rules that ask for more need not be looked for

}  // namespace

struct CompiledRule {
  struct Free {
    void operator()(pcre2_code* compiled) const { pcre2_code_free(compiled); }
  };
  const Rule* rule;
  bool is_secret;
  std::unique_ptr<pcre2_code, Free> code;
};

namespace {

Result<CompiledRule> compile(const Rule& rule, bool is_secret) {
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(rule.expression), PCRE2_ZERO_TERMINATED, PCRE2_UTF, &error, &at, nullptr);
  if (code == nullptr) return fail(ErrorCode::internal, "a detector does not compile", std::string(rule.kind) + ", at " + std::to_string(at));
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it the matcher is only slower
  return CompiledRule{&rule, is_secret, std::unique_ptr<pcre2_code, CompiledRule::Free>(code)};
}

pcre2_match_data* match_data() {
  struct Free {
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  };
  static thread_local const std::unique_ptr<pcre2_match_data, Free> data(pcre2_match_data_create(kGroupsMax, nullptr));
  return data.get();
}

// Whether one of the words that a rule is tried for stands in what its expression matched, or near by.
bool has_anchor_near(const Rule& rule, std::string_view matched, const Candidate& candidate) {
  if (rule.anchors == nullptr || rule.context != nullptr) return true;
  std::string folded(matched);
  std::transform(folded.begin(), folded.end(), folded.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  bool within = false;
  for_each_word(rule.anchors, [&](std::string_view word) { within = within || folded.find(word) != folded.npos; });
  return within || has_context(candidate, rule.anchors);
}

// Appends the matches of one rule.
void match(const CompiledRule& pattern, std::string_view text, Reach reach, std::vector<Match>& matches) {
  std::size_t from = 0;
  for (std::size_t count = 0; from < text.size() && count < kMatchesMax;) {
    const int found = pcre2_match(pattern.code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, PCRE2_NO_UTF_CHECK, match_data(), nullptr);
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found < 0) {  // the matcher gave up on a limit: whatever is there was not cleared
      matches.push_back({"UNSCANNABLE", from, text.size() - from});
      return;
    }
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match_data());
    const Rule& rule = *pattern.rule;
    // Where a group says what the secret is; a group of one sign only says which sign divides the digits.
    const bool grouped = found > 1 && ends[2] != PCRE2_UNSET && ends[3] - ends[2] > 1;
    const Candidate candidate{text, grouped ? ends[2] : ends[0], grouped ? ends[3] - ends[2] : ends[1] - ends[0]};
    const std::size_t end = ends[1];
    const bool is_real = rule.real_length != nullptr || !pattern.is_secret || !is_stand_in(candidate.value());
    std::size_t length = !is_real ? 0 : rule.real_length == nullptr ? candidate.length : rule.real_length(candidate);
    if (length > 0 && rule.context != nullptr && !has_context({text, candidate.offset, length}, rule.context)) length = 0;
    if (length > 0 && reach == Reach::near_by && !has_anchor_near(rule, text.substr(ends[0], end - ends[0]), {text, candidate.offset, length})) length = 0;
    if (length > 0) {
      matches.push_back({rule.kind, candidate.offset, length});
      ++count;
    }
    // A candidate that is nothing may hide the start of something: one byte on (what begins a candidate is ASCII, but a mail's).
    from = length > 0 ? std::max(candidate.offset + length, grouped ? end : ends[0] + 1) : candidate.offset + 1;
    while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xc0) == 0x80) ++from;
  }
}

}  // namespace

struct Detectors::Compiled {
  std::vector<CompiledRule> patterns;
  Anchors anchors, digit_anchors;  // of rules that ask for few digits or none, and of the others
  AnchorOwners without_anchor;
  std::function<bool(std::string_view)> is_wanted;
  Reach reach = Reach::whole_text;

  void match_all(std::string_view text, std::vector<Match>& matches) const {
    const TextShape shape = shape_of(text);
    AnchorOwners candidates = anchors.find(text) | without_anchor;
    if (shape.digits >= kManyDigits) candidates |= digit_anchors.find(text);
    for (std::size_t i = candidates._Find_first(); i < patterns.size(); i = candidates._Find_next(i)) {
      if (shape.fits(*patterns[i].rule)) match(patterns[i], text, reach, matches);
    }
  }
};

Detectors::Detectors(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
Detectors::~Detectors() = default;

Result<std::unique_ptr<Detectors>> Detectors::create(const std::function<bool(std::string_view kind)>& is_wanted, Reach reach) {
  auto compiled = std::make_unique<Compiled>();
  compiled->reach = reach;
  compiled->is_wanted = is_wanted ? is_wanted : [](std::string_view kind) { return kind != "URL"; };
  for (const auto& rules : {secret_rules(), personal_rules()}) {
    for (const Rule& rule : rules) {
      if (!compiled->is_wanted(rule.kind)) continue;
      const std::size_t owner = compiled->patterns.size();
      CHECK(owner < kAnchorOwnersMax);
      compiled->patterns.push_back(TRY(compile(rule, rules.data() == secret_rules().data())));
      if (rule.anchors == nullptr) compiled->without_anchor.set(owner);
      else for_each_word(rule.anchors, [&](std::string_view word) { (rule.digits >= kManyDigits ? compiled->digit_anchors : compiled->anchors).add(word, owner); });
    }
  }
  compiled->anchors.build();
  compiled->digit_anchors.build();
  return std::unique_ptr<Detectors>(new Detectors(std::move(compiled)));
}

std::vector<Match> Detectors::scan(std::string_view text) const {
  std::vector<Match> matches;
  const bool name = text.size() <= 16 && std::all_of(text.begin(), text.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
  if (name) return matches;  // of a member, a role: too short for any kind
  const bool ascii = is_ascii(text);
  if (!ascii && rows::first_invalid_utf8(text) != text.npos) return {{"UNSCANNABLE", 0, text.size()}};
  const auto seen = ascii ? std::nullopt : as_seen(text);
  compiled_->match_all(seen ? seen->text : text, matches);
  if (seen) {
    for (auto& match : matches) {
      const std::size_t begin = seen->places.raw(match.offset), end = seen->places.raw(match.offset + match.length);
      match.offset = begin;
      match.length = end - begin;
    }
  }
  const std::size_t visible = matches.size();
  find_hidden(text, matches);
  matches.erase(std::remove_if(matches.begin() + static_cast<std::ptrdiff_t>(visible), matches.end(), [&](const Match& match) { return !compiled_->is_wanted(match.kind); }), matches.end());
  std::stable_sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) { return a.offset < b.offset; });
  return without_repeats(std::move(matches));
}

}  // namespace redoubt::detectors
#undef PCRE2_CODE_UNIT_WIDTH
