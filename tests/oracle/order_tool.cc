// SPDX-License-Identifier: Apache-2.0
//
// Version orders and CVSS scores for tests in other languages. One line in, one line out: "<ecosystem>\t<a>\t<b>" -> -1, 0 or 1;
// "<vector>" -> the score, or "none".
#include <fmt/format.h>

#include <iostream>
#include <string>

#include "advisories/cvss.h"
#include "packages/version_order.h"

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    const auto first = line.find('\t'), second = line.find('\t', first + 1);
    if (first == line.npos || second == line.npos) {
      const auto score = redoubt::advisories::cvss_score(line);
      fmt::print("{}\n", score ? fmt::format("{:.1f}", *score) : "none");
      continue;
    }
    const int order = redoubt::packages::compare_versions(line.substr(0, first), line.substr(first + 1, second - first - 1), line.substr(second + 1));
    fmt::print("{}\n", order < 0 ? -1 : order > 0 ? 1 : 0);
  }
}
