// SPDX-License-Identifier: Apache-2.0
#include "guards/guards.h"

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "crypto/random.h"
#include "detectors/redact.h"
#include "guards/call_text.h"

namespace redoubt::guards {
namespace {

constexpr int kRounds = 4;  // what a redaction uncovers is redacted too, so many times
constexpr std::size_t kMarkerBytes = 8;

struct Place {
  Finding finding;       // of the decoded text
  std::size_t begin, end;  // in the JSON
  bool is_number = false;  // all of one
  bool goes_on = false;    // of the finding before it
};

std::vector<Place> places_in(const std::string& json, const Scanner& scanner) {
  std::vector<Place> places;
  detectors::for_each_literal(json, [&](const detectors::JsonText& literal) {
    for (const auto& finding : scanner.look(literal.text, 0, Text::whole).findings) places.push_back({finding, literal.places.raw(finding.begin), literal.places.raw(finding.end)});
  });
  // A text inside a text is looked at with and without its escapes: what both find is told once.
  const auto before = [](const Place& a, const Place& b) { return std::tie(a.begin, a.finding.kind) < std::tie(b.begin, b.finding.kind); };
  const auto same = [](const Place& a, const Place& b) { return a.begin == b.begin && a.finding.kind == b.finding.kind; };
  std::stable_sort(places.begin(), places.end(), before);
  places.erase(std::unique(places.begin(), places.end(), same), places.end());
  return places;
}

// What only the whole of a call's arguments shows, in the strings and numbers that it goes over.
void add_places_of_call(const std::string& json, const Scanner& scanner, std::vector<Place>& places) {
  const CallText call(json);
  const auto in_strings = static_cast<std::ptrdiff_t>(places.size());
  for (const auto& finding : scanner.look(call.text(), 0, Text::whole).findings) {
    const auto begin = call.raw(finding.begin), end = call.raw(finding.end);
    const auto is_it = [&](const Place& place) { return place.finding.kind == finding.kind && place.begin < end && begin < place.end; };
    if (std::any_of(places.begin(), places.begin() + in_strings, is_it)) continue;
    bool goes_on = false;
    auto part = std::partition_point(call.parts().begin(), call.parts().end(), [&](const auto& one) { return one.end <= begin; });
    for (; part != call.parts().end() && part->begin < end; ++part) {
      if (part->is_number) places.push_back({finding, part->begin, part->end, true, goes_on});
      else places.push_back({finding, std::max(begin, part->begin), std::min(end, part->end), false, goes_on});
      goes_on = true;
    }
    if (!goes_on && finding.action != Action::redact) places.push_back({finding, begin, end});
  }
  std::stable_sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.begin < b.begin; });
}

}  // namespace

Result<std::unique_ptr<Guards>> Guards::create(const GuardOptions& options, std::vector<PatternRule> rules) {
  if (options.own_rules) {
    auto own = TRY(own_rules());
    std::move(rules.begin(), rules.end(), std::back_inserter(own));
    rules = std::move(own);
  }
  std::set<std::string> ids;
  for (const auto& rule : rules)
    if (!ids.insert(rule.id).second) return fail(ErrorCode::invalid_argument, "two rules have the id " + rule.id, "deploy.guards", "give the rules of each pack ids of their own");
  for (const auto& [name, unused] : options.kinds) {
    const bool is_rule = std::any_of(name.begin(), name.end(), [](char c) { return c >= 'a' && c <= 'z'; });
    if (is_rule && !ids.contains(name)) return fail(ErrorCode::invalid_argument, "kinds: there is no rule " + name, "deploy.guards", "'redoubt guard rules' lists those that come with the program");
  }
  std::unique_ptr<Guards> guards(new Guards);
  if (options.canary != Action::ignore) guards->marker_ = to_hex(crypto::random_bytes(kMarkerBytes));
  guards->reading_ = options.reading;
  guards->answer_characters_max_ = options.answer_characters_max;
  guards->input_ = TRY(Scanner::create(Direction::input, options, rules, ""));
  guards->output_ = TRY(Scanner::create(Direction::output, options, rules, guards->marker_));
  return guards;
}

Checked Guards::check(const std::string& json, const Scanner& scanner, Looks looks) {
  Checked out;
  if (scanner.strongest() == Action::ignore) return out;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<detectors::Span> spans;
    const std::string& now = out.changed ? out.json : json;
    auto places = places_in(now, scanner);
    if (looks == Looks::at_all) add_places_of_call(now, scanner, places);
    for (const auto& [finding, begin, end, is_number, goes_on] : places) {
      // After a redaction only what it uncovered is new.
      if (!goes_on && (round == 0 || finding.action >= Action::redact)) out.hits.push_back({scanner.direction(), finding.group, std::string(finding.kind), finding.action});
      out.refused = out.refused || finding.action == Action::refuse;
      if (finding.action == Action::redact) spans.push_back({finding.kind, begin, end, is_number ? detectors::quote_at(0) : ""});
    }
    if (out.refused || spans.empty()) return out;
    out.json = detectors::without_spans(now, std::move(spans));
    out.changed = true;
  }
  out.refused = true;
  return out;
}

}  // namespace redoubt::guards
