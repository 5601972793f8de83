// SPDX-License-Identifier: Apache-2.0
#include "guards/scanner.h"

#include <algorithm>

#include "detectors/hidden.h"
#include "detectors/kinds.h"
#include "guards/hold_back.h"
#include "rows/lines.h"

namespace redoubt::guards {
namespace {

const char* group_of(std::string_view kind) {
  const auto* known = detectors::find_kind(kind);
  return known == nullptr || kind == kUnscannable ? "unscannable" : detectors::to_string(known->group);
}

// A private key goes on to its last line, which may be far.
bool is_open(const detectors::Match& match, std::string_view text) {
  constexpr std::size_t kBlockBytesMax = 64 << 10;  // no key is looked for beyond it
  const auto matched = text.substr(match.offset, match.length);
  return match.kind == "PRIVATE_KEY" && text.size() - match.offset <= kBlockBytesMax && (!matched.ends_with("-----") || matched.find("-----END ") == matched.npos);
}

// The marker with anything but letters and digits between its own.
std::string canary_pattern(const std::string& canary) {
  std::string pattern;
  for (const char c : canary) pattern += (pattern.empty() ? "" : "[^a-z0-9]{0,3}") + std::string(1, c);
  return pattern;
}

// Deprecated forms aside, what hides: characters of control and broken encodings are looked for by name alone.
bool is_of_group(const detectors::Kind& kind) {
  const std::string_view name = kind.name;
  if (kind.group == detectors::Group::hidden) return name == "HIDDEN_TAG" || name == "BIDI_CONTROL" || name == "ZERO_WIDTH";
  return (kind.group == detectors::Group::secrets || kind.group == detectors::Group::personal) && name != "URL";
}

Action group_action(const detectors::Kind& kind, const GroupActions& groups) {
  if (!is_of_group(kind)) return Action::ignore;
  switch (kind.group) {
    case detectors::Group::secrets: return groups.secrets;
    case detectors::Group::personal: return groups.personal;
    default: return groups.hidden;
  }
}

}  // namespace

Action Scanner::action_of(std::string_view kind) const {
  // What can't be looked at was not cleared.
  if (kind == kUnscannable) return strongest_;
  const auto found = kinds_.find(kind);
  return found == kinds_.end() ? Action::ignore : found->second;
}

Result<std::unique_ptr<Scanner>> Scanner::create(Direction direction, const GuardOptions& options, const std::vector<PatternRule>& rules, const std::string& canary) {
  std::unique_ptr<Scanner> scanner(new Scanner);
  scanner->direction_ = direction;
  const auto add = [&](Action action) {
    scanner->strongest_ = std::max(scanner->strongest_, action);
    return action != Action::ignore;
  };
  const auto& groups = options.of(direction);
  const bool any_group = groups.secrets != Action::ignore || groups.personal != Action::ignore || groups.hidden != Action::ignore;
  for (const auto& kind : detectors::all_kinds()) {
    const auto own = options.kinds.find(kind.name);
    // A kind's own action holds where anything of the kind is looked for at all.
    const Action action = own != options.kinds.end() && any_group ? own->second : group_action(kind, groups);
    if (add(action)) scanner->kinds_[kind.name] = action;
  }
  if (!scanner->kinds_.empty())
    scanner->detectors_ = TRY(detectors::Detectors::create([&kinds = scanner->kinds_](std::string_view kind) { return kinds.contains(kind); }, detectors::Reach::near_by));
  for (const auto& rule : rules) {
    if (!(direction == Direction::input ? rule.input : rule.output)) continue;
    const auto own = options.kinds.find(rule.id);
    const Action action = own != options.kinds.end() ? own->second : groups.patterns.value_or(rule.action);
    if (!groups.patterns && own == options.kinds.end()) continue;  // patterns are looked for where they are asked for
    if (!add(action)) continue;
    auto expression = TRY(Expression::compile(rule.pattern, rule.id));
    scanner->rules_.push_back({rule.id, "patterns", action, std::move(expression)});
  }
  if (direction == Direction::output && !canary.empty() && add(options.canary)) {
    auto expression = TRY(Expression::compile(canary_pattern(canary), "canary"));
    scanner->rules_.push_back({std::string(kCanary), "canary", options.canary, std::move(expression)});
  }
  return scanner;
}

void Scanner::apply(const Rule& rule, std::string_view seen, std::size_t from, Text is, Looked& looked) const {
  const auto findings = rule.expression.find(seen, from, is);
  for (const auto& found : findings.found) looked.findings.push_back({looked.raw(found.begin), looked.raw(found.end), rule.id, rule.group, rule.action});
  if (findings.open != seen.npos) looked.decided = std::min(looked.decided, looked.raw(findings.open));
  // Whatever the matcher gave up on was not cleared.
  if (findings.gave_up) looked.findings.push_back({looked.raw(from), looked.raw(seen.size()), kUnscannable, "unscannable", rule.action});
}

std::size_t Scanner::decided_at_most(std::string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  const auto seen = ascii ? std::nullopt : detectors::as_seen(text);
  return seen ? seen->places.raw(undecided_from(seen->text)) : undecided_from(text);
}

Looked Scanner::look(std::string_view text, std::size_t from, Text is) const {
  Looked looked;
  if (rows::first_invalid_utf8(text) != text.npos) {
    looked.decided = text.size();
    looked.findings.push_back({0, text.size(), kUnscannable, "unscannable", strongest_});
    return looked;
  }
  looked.seen = detectors::as_seen(text);
  const std::string_view seen = looked.seen ? std::string_view(looked.seen->text) : text;
  looked.decided = is == Text::whole ? text.size() : looked.raw(undecided_from(seen));
  if (detectors_ != nullptr) {
    for (const auto& match : detectors_->scan(text)) {
      const Action action = action_of(match.kind);
      const bool open = is == Text::may_go_on && is_open(match, text);
      if (action != Action::ignore) looked.findings.push_back({match.offset, match.offset + match.length, match.kind, group_of(match.kind), action, open});
    }
  }
  std::size_t seen_from = 0;  // the first seen byte that stands at `from` or later
  if (!looked.seen) seen_from = from;
  else
    while (seen_from < seen.size() && looked.raw(seen_from) < from) ++seen_from;
  for (const auto& rule : rules_) apply(rule, seen, seen_from, is, looked);
  std::stable_sort(looked.findings.begin(), looked.findings.end(), [](const Finding& a, const Finding& b) { return a.begin < b.begin; });
  return looked;
}

}  // namespace redoubt::guards
