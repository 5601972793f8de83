// SPDX-License-Identifier: Apache-2.0
#include "advisories/advisory.h"

#include <fmt/format.h>

#include <algorithm>

#include "packages/version_order.h"

namespace redoubt::advisories {

std::optional<std::string> affected_until(const Advisory& advisory, const std::string& installed) {
  const auto order = [&](const std::string& other) { return packages::compare_versions(advisory.ecosystem, installed, other); };
  for (const auto& range : advisory.ranges) {
    if (range.introduced != "0" && order(range.introduced) < 0) continue;
    const bool below_end = range.fixed.empty() ? range.last_affected.empty() || order(range.last_affected) <= 0 : order(range.fixed) < 0;
    if (below_end) return range.fixed;
  }
  const bool is_listed = std::any_of(advisory.versions.begin(), advisory.versions.end(), [&](const std::string& version) { return version == installed || order(version) == 0; });
  if (!is_listed) return std::nullopt;
  std::string next;  // the lowest fix above it
  for (const auto& range : advisory.ranges) {
    if (range.fixed.empty() || order(range.fixed) >= 0) continue;
    if (next.empty() || packages::compare_versions(advisory.ecosystem, range.fixed, next) < 0) next = range.fixed;
  }
  return next;
}

namespace {

// Nothing from the greatest limit on is affected, whatever other events say of it; '*' is no limit.
void apply_limits(std::vector<RangeEvent>& events, const std::string& ecosystem) {
  const RangeEvent* last = nullptr;
  for (const auto& event : events) {
    if (event.kind != RangeEvent::limit) continue;
    const bool is_later = last == nullptr || event.version == "*" || (last->version != "*" && packages::compare_versions(ecosystem, last->version, event.version) < 0);
    if (is_later) last = &event;
  }
  if (last == nullptr) return;
  const std::string end = last->version;
  std::erase_if(events, [&](const RangeEvent& event) {
    return event.kind == RangeEvent::limit || (end != "*" && event.version != "0" && packages::compare_versions(ecosystem, event.version, end) >= 0);
  });
  if (end != "*") events.push_back({RangeEvent::fixed, end});
}

constexpr std::string_view kSuseEnterprise = "SUSE:Linux Enterprise ";

// "SUSE:Linux Enterprise Module for Basesystem 15 SP5", "SUSE:Linux Enterprise Server 15 SP5-LTSS" -> "15 SP5".
std::string suse_release(std::string_view ecosystem) {
  std::size_t at = kSuseEnterprise.size() - 1;
  while (at != ecosystem.npos && (at + 1 == ecosystem.size() || ecosystem[at + 1] < '0' || ecosystem[at + 1] > '9')) at = ecosystem.find(' ', at + 1);
  const auto release = ecosystem.substr(at == ecosystem.npos ? kSuseEnterprise.size() : at + 1);
  return std::string(release.substr(0, release.find('-')));
}

}  // namespace

// The schema does not promise the order of the events. A version may be both the first and the last that is affected.
void add_ranges(std::vector<RangeEvent> events, Advisory& advisory) {
  apply_limits(events, advisory.ecosystem);
  std::stable_sort(events.begin(), events.end(), [&](const RangeEvent& a, const RangeEvent& b) {
    const bool a_is_start = a.version == "0", b_is_start = b.version == "0";
    if (a_is_start || b_is_start) return a_is_start && !b_is_start;
    const int order = packages::compare_versions(advisory.ecosystem, a.version, b.version);
    return order != 0 ? order < 0 : a.kind != RangeEvent::last_affected && b.kind == RangeEvent::last_affected;
  });
  std::optional<AdvisoryRange> open;
  for (auto& event : events) {
    if (event.kind == RangeEvent::introduced) {
      if (!open) open = {std::move(event.version), "", ""};
      continue;
    }
    if (!open) continue;
    (event.kind == RangeEvent::fixed ? open->fixed : open->last_affected) = std::move(event.version);
    advisory.ranges.push_back(*std::exchange(open, std::nullopt));
  }
  if (open) advisory.ranges.push_back(std::move(*open));
}

std::string ecosystem_key(const std::string& ecosystem) {
  if (ecosystem.starts_with(kSuseEnterprise)) return std::string(kSuseEnterprise) + suse_release(ecosystem);
  // "Red Hat:enterprise_linux:9::baseos"
  if (!ecosystem.starts_with("Red Hat:")) return ecosystem;
  const auto release = ecosystem.find(':', 8);
  return release == ecosystem.npos ? ecosystem : ecosystem.substr(0, ecosystem.find(':', release + 1));
}

std::string package_key(const std::string& ecosystem, const std::string& name) {
  return ecosystem_key(ecosystem) + "/" + (ecosystem == "PyPI" ? packages::python_name(name) : name);
}

bool Feed::covers(const std::string& ecosystem) const {
  const std::string key = ecosystem_key(ecosystem);
  return std::any_of(ecosystems.begin(), ecosystems.end(), [&](const std::string& each) { return each == key || (each == "Debian" && key.starts_with("Debian:")); });
}

Status check_age(const std::vector<Feed>& feeds, int days_max, TimePoint now) {
  if (feeds.empty()) return fail(ErrorCode::not_found, "no advisory feed is configured", "image.apt_security, image.osv", "without a feed nothing is known to be safe; configure one, or run 'redoubt image db update'");
  for (const auto& feed : feeds) {
    if (now - feed.dated > std::chrono::days(days_max) || feed.dated - now > std::chrono::days(1)) {
      return fail(ErrorCode::gate_refused, fmt::format("the feed is dated {}, more than {} days from now", to_rfc3339(feed.dated), days_max), feed.name,
                  "bring it up to date ('apt-get update' for the security suite, 'redoubt image db update' for the others), then scan again");
    }
  }
  return {};
}

}  // namespace redoubt::advisories
