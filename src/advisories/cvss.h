// SPDX-License-Identifier: Apache-2.0
//
// Scores out of vectors: CVSS 3.0, 3.1 and 4.0 as first.org specifies them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace redoubt::advisories {

// The base score of "CVSS:3.0/..." or "CVSS:3.1/..."; nothing for a vector of another version or with a metric missing, unknown or twice.
std::optional<double> cvss3_base_score(std::string_view vector);
// The score of "CVSS:4.0/...", with the threat and environmental metrics that it names. The same for nothing.
std::optional<double> cvss4_score(std::string_view vector);
// Of any of these versions.
std::optional<double> cvss_score(std::string_view vector);
// The specification's words for a score: "critical", "high", "medium", "low", "none".
std::string severity_of_score(double score);

namespace detail {
using CvssMetrics = std::map<std::string, std::string, std::less<>>;
// "AV:N/AC:L/..." behind the version; nothing for an empty name or value, or a name that stands twice.
std::optional<CvssMetrics> parse_metrics(std::string_view text);
// Whether each metric is one of `allowed` ("AV:NALP" lists its values) with a value of it.
bool are_allowed(const CvssMetrics& metrics, std::initializer_list<std::string_view> allowed);
}  // namespace detail

}  // namespace redoubt::advisories
