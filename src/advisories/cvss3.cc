// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "advisories/cvss.h"

namespace redoubt::advisories {
namespace {

// Up to the next tenth, in whole hundred-thousandths so that no rounding error lifts a score (CVSS 3.1, appendix A).
double round_up(double score) {
  const long scaled = std::lround(score * 100'000);
  return scaled % 10'000 == 0 ? static_cast<double>(scaled) / 100'000 : (std::floor(static_cast<double>(scaled) / 10'000) + 1) / 10;
}

// The weight of a metric's value, NaN where it is missing.
double weigh(const detail::CvssMetrics& metrics, std::string_view name, std::initializer_list<std::pair<char, double>> weights) {
  const auto found = metrics.find(name);
  for (const auto& [letter, weight] : weights) {
    if (found != metrics.end() && found->second[0] == letter) return weight;
  }
  return std::nan("");
}

double base_score(const detail::CvssMetrics& metrics) {
  const auto scope = metrics.find("S");
  if (scope == metrics.end()) return std::nan("");
  const bool changed = scope->second == "C";
  const double attack = weigh(metrics, "AV", {{'N', 0.85}, {'A', 0.62}, {'L', 0.55}, {'P', 0.2}});
  const double complexity = weigh(metrics, "AC", {{'L', 0.77}, {'H', 0.44}});
  const double privileges = weigh(metrics, "PR", {{'N', 0.85}, {'L', changed ? 0.68 : 0.62}, {'H', changed ? 0.5 : 0.27}});
  const double interaction = weigh(metrics, "UI", {{'N', 0.85}, {'R', 0.62}});
  double kept = 1;
  for (const char* metric : {"C", "I", "A"}) kept *= 1 - weigh(metrics, metric, {{'H', 0.56}, {'L', 0.22}, {'N', 0.0}});
  const double base = 1 - kept;
  const double impact = changed ? 7.52 * (base - 0.029) - 3.25 * std::pow(base - 0.02, 15) : 6.42 * base;
  const double exploitability = 8.22 * attack * complexity * privileges * interaction;
  if (std::isnan(impact) || std::isnan(exploitability)) return std::nan("");
  if (impact <= 0) return 0;
  return round_up(std::min((impact + exploitability) * (changed ? 1.08 : 1.0), 10.0));
}

}  // namespace

std::optional<double> cvss3_base_score(std::string_view vector) {
  if (!vector.starts_with("CVSS:3.0/") && !vector.starts_with("CVSS:3.1/")) return std::nullopt;
  const auto metrics = detail::parse_metrics(vector.substr(9));
  if (!metrics || !detail::are_allowed(*metrics, {"AV:NALP", "AC:LH", "PR:NLH", "UI:NR", "S:UC", "C:HLN", "I:HLN", "A:HLN", "E:XHFPU", "RL:XUWTO", "RC:XCRU",
                                                  "CR:XHML", "IR:XHML", "AR:XHML", "MAV:XNALP", "MAC:XLH", "MPR:XNLH", "MUI:XNR", "MS:XUC", "MC:XHLN", "MI:XHLN", "MA:XHLN"})) {
    return std::nullopt;
  }
  const double score = base_score(*metrics);
  return std::isnan(score) ? std::nullopt : std::optional(score);
}

std::optional<double> cvss_score(std::string_view vector) { return vector.starts_with("CVSS:4.0/") ? cvss4_score(vector) : cvss3_base_score(vector); }

std::string severity_of_score(double score) {
  if (score >= 9) return "critical";
  if (score >= 7) return "high";
  if (score >= 4) return "medium";
  return score > 0 ? "low" : "none";
}

namespace detail {

std::optional<CvssMetrics> parse_metrics(std::string_view text) {
  CvssMetrics metrics;
  while (!text.empty()) {
    const auto slash = std::min(text.find('/'), text.size());
    const auto part = text.substr(0, slash);
    const auto colon = part.find(':');
    if (colon == part.npos || colon == 0 || colon + 1 == part.size()) return std::nullopt;
    if (!metrics.emplace(part.substr(0, colon), part.substr(colon + 1)).second) return std::nullopt;
    text.remove_prefix(std::min(slash + 1, text.size()));
  }
  return metrics;
}

bool are_allowed(const CvssMetrics& metrics, std::initializer_list<std::string_view> allowed) {
  return std::all_of(metrics.begin(), metrics.end(), [&](const auto& metric) {
    return std::any_of(allowed.begin(), allowed.end(), [&](std::string_view each) {
      const auto colon = each.find(':');
      return each.substr(0, colon) == metric.first && metric.second.size() == 1 && each.find(metric.second, colon + 1) != each.npos;
    });
  });
}

}  // namespace detail

}  // namespace redoubt::advisories
