// SPDX-License-Identifier: Apache-2.0
#include "advisories/matching.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "packages/version_order.h"

namespace redoubt::advisories::detail {
namespace {

using packages::Package;

struct Name {
  std::string ecosystem, name, version;
  bool operator==(const Name&) const = default;
};

bool is_family(const std::string& ecosystem, std::string_view family) { return ecosystem == family || ecosystem.starts_with(std::string(family) + ":"); }

// What those who publish advisories compare with. "2.13.0+cpu" is "2.13.0": a local label names a build, not a release. Debian's and
// Ubuntu's advisories are about source packages, Alpine's about origins, RPM's about either.
std::vector<Name> names_of(const Package& package) {
  const std::string& ecosystem = package.ecosystem;
  const std::string source = package.source.empty() ? package.name : package.source;
  const std::string source_version = package.source_version.empty() ? package.version : package.source_version;
  if (ecosystem == "PyPI") return {{ecosystem, package.name, package.version.substr(0, package.version.find('+'))}};
  if (is_family(ecosystem, "Debian")) return {{ecosystem, source, source_version}, {"Debian", source, source_version}};
  if (is_family(ecosystem, "Ubuntu")) return {{ecosystem, source, source_version}};
  if (ecosystem == "Go" && package.version.starts_with('v')) return {{ecosystem, package.name, package.version.substr(1)}};
  std::vector<Name> names = {{ecosystem, package.name, package.version}};
  if (Name other{ecosystem, source, source_version}; other != names[0]) names.push_back(std::move(other));
  // The modules of SUSE 12 are for all of its service packs.
  if (ecosystem_key(ecosystem).starts_with("SUSE:Linux Enterprise 12 SP")) {
    for (std::size_t i = 0, count = names.size(); i < count; ++i) names.push_back({"SUSE:Linux Enterprise 12", names[i].name, names[i].version});
  }
  return names;
}

struct Match {
  Advisory advisory;
  std::string fixed;
};

// "DEBIAN-CVE-2023-1234" is what Debian calls CVE-2023-1234.
std::string bare_id(const std::string& id) {
  const auto at = id.find("-CVE-");
  return at == id.npos ? id : id.substr(at + 1);
}

std::set<std::string> ids_of(const Advisory& advisory) {
  std::set<std::string> ids = {advisory.id, bare_id(advisory.id)};
  ids.insert(advisory.aliases.begin(), advisory.aliases.end());
  return ids;
}

struct Group {
  std::set<std::string> ids;
  std::vector<Match> matches;
};

// Groups that share an id are one.
std::vector<Group> grouped(std::vector<Match> matches) {
  std::vector<Group> groups;
  for (auto& match : matches) {
    Group mine{ids_of(match.advisory), {}};
    mine.matches.push_back(std::move(match));
    for (auto at = groups.begin(); at != groups.end();) {
      const bool shares = std::any_of(at->ids.begin(), at->ids.end(), [&](const std::string& id) { return mine.ids.contains(id); });
      if (!shares) {
        ++at;
        continue;
      }
      mine.ids.insert(at->ids.begin(), at->ids.end());
      std::move(at->matches.begin(), at->matches.end(), std::back_inserter(mine.matches));
      at = groups.erase(at);
    }
    groups.push_back(std::move(mine));
  }
  return groups;
}

std::string chosen_id(const Group& group) {
  for (const auto& id : group.ids) {
    if (id.starts_with("CVE-")) return id;
  }
  return std::min_element(group.matches.begin(), group.matches.end(), [](const Match& a, const Match& b) { return a.advisory.id < b.advisory.id; })->advisory.id;
}

Finding finding_of(const Package& package, const Group& group) {
  Finding finding{chosen_id(group), package.name, package.version, "", "", package.source, package.source_version};
  for (const auto& [advisory, fixed] : group.matches) {
    if (rank(advisory.severity) > rank(finding.severity)) finding.severity = advisory.severity;
    if (advisory.cvss > finding.cvss) finding.cvss = advisory.cvss, finding.vector = advisory.vector;
    for (const auto& id : advisory.upstream) {
      if (std::find(finding.upstream.begin(), finding.upstream.end(), id) == finding.upstream.end()) finding.upstream.push_back(id);
    }
    // All of them are fixed from the greatest on.
    if (!fixed.empty() && (finding.fixed.empty() || packages::compare_versions(advisory.ecosystem, finding.fixed, fixed) < 0)) finding.fixed = fixed;
  }
  if (finding.severity.empty()) finding.severity = "low";
  for (const auto& id : group.ids) {
    if (id != finding.id) finding.aliases.push_back(id);
  }
  finding.ecosystem = package.ecosystem;
  finding.purl = packages::purl_of(package);
  finding.places = package.places;
  return finding;
}

// A version older than the security suite's is a fix that was not installed; how grave, no list of apt's says.
Status add_missing_update(const Package& package, const AdvisorySet& advisories, std::vector<Finding>& findings) {
  for (const std::string& suite : {package.ecosystem, std::string("Debian")}) {
    for (const auto& newest : TRY(advisories.entries(kAptPrefix + suite + "/" + package.name))) {
      if (packages::compare_debian_versions(package.version, newest) >= 0) continue;
      Finding finding{"MISSING-SECURITY-UPDATE", package.name, package.version, newest, "high", "", ""};
      finding.ecosystem = package.ecosystem;
      finding.purl = packages::purl_of(package);
      findings.push_back(std::move(finding));
      return {};
    }
  }
  return {};
}

// EPSS and KEV know CVEs alone.
Status add_exploits(const AdvisorySet& advisories, Finding& finding) {
  std::vector<std::string> ids = finding.aliases;
  ids.push_back(finding.id);
  ids.insert(ids.end(), finding.upstream.begin(), finding.upstream.end());
  for (const auto& id : ids) {
    if (!id.starts_with("CVE-")) continue;
    for (const auto& entry : TRY(advisories.entries("EPSS/" + id))) {
      double score = 0, percentile = 0;
      const char* const end = entry.data() + entry.size();
      const auto read = std::from_chars(entry.data(), end, score);
      if (read.ec == std::errc() && read.ptr < end) std::from_chars(read.ptr + 1, end, percentile);
      if (finding.epss.value_or(-1) < score) finding.epss = score, finding.epss_percentile = percentile;
    }
    for (const auto& entry : TRY(advisories.entries("KEV/" + id))) {
      finding.exploited_since = entry.substr(0, entry.find(' '));
      if (finding.exploited_since.empty()) finding.exploited_since = "unknown";
      finding.ransomware = finding.ransomware || entry.ends_with(" ransomware");
    }
  }
  return {};
}

}  // namespace

int rank(const std::string& severity) {
  return severity == "critical" ? 4 : severity == "high" ? 3 : severity == "medium" ? 2 : severity == "low" ? 1 : 0;
}

Result<std::vector<Finding>> findings_of(const Package& package, const AdvisorySet& advisories) {
  std::vector<Match> matches;
  for (const auto& name : names_of(package)) {
    for (auto& advisory : TRY(advisories.advisories(package_key(name.ecosystem, name.name)))) {
      if (const auto fixed = affected_until(advisory, name.version)) matches.push_back({std::move(advisory), *fixed});
    }
  }
  std::vector<Finding> findings;
  for (const auto& group : grouped(std::move(matches))) findings.push_back(finding_of(package, group));
  if (is_family(package.ecosystem, "Debian")) TRY(add_missing_update(package, advisories, findings));
  for (auto& finding : findings) TRY(add_exploits(advisories, finding));
  return findings;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      if (const auto byte = from_hex(text.substr(i + 1, 2))) {
        out += static_cast<char>((*byte)[0]);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

bool purl_matches(std::string_view pattern, std::string_view purl) {
  const auto bare = [](std::string_view text) { return text.substr(0, text.find_first_of("?#")); };
  pattern = bare(pattern);
  purl = bare(purl);
  const auto version = [](std::string_view text) { return text.rfind('@') == text.npos || text.rfind('@') < text.rfind('/') ? text.npos : text.rfind('@'); };
  if (version(pattern) == pattern.npos) purl = purl.substr(0, version(purl));
  return unescaped(pattern) == unescaped(purl);
}

}  // namespace redoubt::advisories::detail
