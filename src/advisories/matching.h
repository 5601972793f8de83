// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "advisories/scan.h"

namespace redoubt::advisories::detail {

// The findings of one package. Records that name one another as aliases are one finding, by its CVE where it has one.
Result<std::vector<Finding>> findings_of(const packages::Package& package, const AdvisorySet& advisories);
// 4 critical to 1 low, 0 for another word.
int rank(const std::string& severity);
// With its percent escapes undone.
std::string unescaped(std::string_view text);
// Whether one package URL means another: type, namespace and name, and the version where `pattern` has one; qualifiers count nothing.
bool purl_matches(std::string_view pattern, std::string_view purl);

}  // namespace redoubt::advisories::detail
