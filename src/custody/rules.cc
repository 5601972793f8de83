// SPDX-License-Identifier: Apache-2.0
#include "custody/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace redoubt::custody {
namespace {

constexpr Seconds kDay{24 * 3600};
constexpr Seconds kClockTolerance{2};  // between machines that share a workspace

// '*' stands for any characters; in linear time, whatever the pattern.
bool glob_fits(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = pattern.npos, retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p, ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<std::optional<Seconds>> duration_member(const Json& rule, const char* key, const std::string& where) {
  const std::string text = json_or(rule, key, "");
  if (text.empty()) return std::optional<Seconds>();
  return std::optional(TRY(parse_duration(text, where + "." + key)));
}

Result<Rule> parse_rule(const Json& json, std::size_t number) {
  const std::string where = fmt::format("policy: vault.rules[{}]", number);
  Rule rule;
  rule.name = json_or(json, "name", "*");
  rule.kind = json_or(json, "kind", "*");
  rule.keep_at_least = TRY(duration_member(json, "keep_at_least", where));
  rule.expire_after = TRY(duration_member(json, "expire_after", where));
  rule.archive_after = TRY(duration_member(json, "archive_after", where));
  if (rule.expire_after && rule.keep_at_least && *rule.expire_after < *rule.keep_at_least) {
    return fail(ErrorCode::invalid_argument, "it expires before it may be deleted", where, "let expire_after be at least keep_at_least");
  }
  if (rule.expire_after && rule.archive_after && *rule.archive_after >= *rule.expire_after) {
    return fail(ErrorCode::invalid_argument, "it would expire before it is archived", where, "let archive_after be shorter than expire_after");
  }
  return rule;
}

SecondFactor factor_of(const std::string& text) { return text == "person" ? SecondFactor::person : text == "totp" ? SecondFactor::totp : SecondFactor::either; }

}  // namespace

bool Rule::fits(const NamedVersion& version) const { return glob_fits(name, version.name) && (kind == "*" || kind == version.kind); }

Result<Seconds> parse_duration(std::string_view text, const std::string& where) {
  const auto wrong = [&] { return fail(ErrorCode::invalid_argument, "not a duration: " + std::string(text.substr(0, 40)), where, "write it as 90d, 12h, 30m or 45s"); };
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end + 1 != text.data() + text.size() || count < 0 || count > 100'000) return wrong();
  switch (*end) {
    case 'd': return Seconds(count * 24 * 3600);
    case 'h': return Seconds(count * 3600);
    case 'm': return Seconds(count * 60);
    case 's': return Seconds(count);
    default: return wrong();
  }
}

std::string duration_text(Seconds duration) {
  if (duration % kDay == Seconds(0)) return fmt::format("{}d", duration / kDay);
  if (duration % Seconds(3600) == Seconds(0)) return fmt::format("{}h", duration / Seconds(3600));
  if (duration % Seconds(60) == Seconds(0)) return fmt::format("{}m", duration / Seconds(60));
  return fmt::format("{}s", duration.count());
}

Result<Rules> Rules::from_json(const Json& policy) {
  const Json vault = json_or(policy, "vault", Json::object()), keys = json_or(policy, "keys", Json::object());
  Rules out;
  std::size_t number = 0;
  for (const auto& rule : json_or(vault, "rules", Json::array())) out.rules.push_back(TRY(parse_rule(rule, number++)));
  const Json deletion = json_or(vault, "deletion", Json::object());
  out.deletion = factor_of(json_or(deletion, "second_factor", "either"));
  out.request_lasts = TRY(parse_duration(json_or(deletion, "request_lasts", "72h"), "policy: vault.deletion.request_lasts"));
  out.archive = json_or(vault, "archive", "");
  const Json replica = json_or(vault, "replica", Json::object());
  out.replica = json_or(replica, "store", "");
  out.replicate_on_write = json_or(replica, "on_write", true) && !out.replica.empty();
  out.rotate_after_days = static_cast<int>(json_or(keys, "rotate_after_days", std::int64_t{90}));
  out.rotation = json_or(keys, "rotation", "warn") == "automatic" ? Rotation::automatic : Rotation::warn;
  const bool archives = std::any_of(out.rules.begin(), out.rules.end(), [](const Rule& rule) { return rule.archive_after.has_value(); });
  if (archives && out.archive.empty()) {
    return fail(ErrorCode::invalid_argument, "a rule archives, and no store is named to archive to", "policy: vault.archive", "name one, such as archive: file:/srv/redoubt-archive");
  }
  return out;
}

Result<Rules> Rules::of(const View& view) { return from_json(view.policy().value_or(Json::object())); }

const Rule* Rules::rule_of(const NamedVersion& version) const {
  const auto found = std::find_if(rules.begin(), rules.end(), [&](const Rule& rule) { return rule.fits(version); });
  return found == rules.end() ? nullptr : &*found;
}

std::string kept_by_rule(const Rules& rules, const NamedVersion& version, TimePoint now) {
  const Rule* rule = rules.rule_of(version);
  if (rule == nullptr || !rule->keep_at_least || now >= version.made + *rule->keep_at_least) return {};
  return fmt::format("the policy keeps it at least {}, until {}", duration_text(*rule->keep_at_least), to_rfc3339(version.made + *rule->keep_at_least));
}

const char* to_string(LifecycleStep::Action action) {
  switch (action) {
    case LifecycleStep::Action::expire: return "expire";
    case LifecycleStep::Action::archive: return "archive";
    case LifecycleStep::Action::keep: return "keep";
  }
  return "unknown";
}

Status check_clock(const View& view, TimePoint now) {
  if (now + kClockTolerance >= view.newest()) return {};
  return fail(ErrorCode::unavailable, fmt::format("the clock runs backwards: it is {} here, but {} was recorded already", to_rfc3339(now), to_rfc3339(view.newest())), "clock",
              "set the clock (systemd-timesyncd, chrony), then say it again; nothing that counts time is done before");
}

namespace {

// What a rule asks for at that age; nothing while it is too young.
std::optional<LifecycleStep> due(const View& view, const Rule& rule, const NamedVersion& version, TimePoint now) {
  const auto age_is = [&](const std::optional<Seconds>& limit) { return limit && now >= version.made + *limit; };
  if (age_is(rule.expire_after)) return LifecycleStep{LifecycleStep::Action::expire, version, "older than " + duration_text(*rule.expire_after)};
  if (!age_is(rule.archive_after) || view.archived().contains({version.place, version.artifact})) return std::nullopt;
  return LifecycleStep{LifecycleStep::Action::archive, version, "older than " + duration_text(*rule.archive_after)};
}

}  // namespace

Result<std::vector<LifecycleStep>> plan_lifecycle(const View& view, const std::vector<NamedVersion>& unnamed, const Rules& rules, TimePoint now, const std::function<std::string(const NamedVersion&)>& needed) {
  TRY(check_clock(view, now));
  std::vector<NamedVersion> candidates = unnamed;
  for (const auto& [name, versions] : view.names()) {
    for (const auto& version : versions) {
      if (version.fate == VersionFate::kept) candidates.push_back(version);
    }
  }
  std::vector<LifecycleStep> steps;
  for (const auto& version : candidates) {
    const Rule* rule = rules.rule_of(version);
    auto step = rule == nullptr ? std::nullopt : due(view, *rule, version, now);
    if (!step) continue;
    // Only the name expires where another has the same contents; what is archived is the contents.
    const bool is_of_all = version.name.empty() || step->action == LifecycleStep::Action::archive;
    const auto hold = is_of_all ? view.held(version.artifact) : view.held(version);
    if (!hold.empty()) step = LifecycleStep{LifecycleStep::Action::keep, version, "held by " + hold};
    else if (const auto need = needed(version); !need.empty()) step = LifecycleStep{LifecycleStep::Action::keep, version, "needed by " + need};
    steps.push_back(std::move(*step));
  }
  std::stable_sort(steps.begin(), steps.end(), [](const auto& a, const auto& b) { return a.version.made < b.version.made; });
  return steps;
}

}  // namespace redoubt::custody
