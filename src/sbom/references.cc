// SPDX-License-Identifier: Apache-2.0
#include "sbom/references.h"

#include <algorithm>
#include <set>

namespace redoubt::sbom {

std::vector<std::vector<std::size_t>> resolve_needs(const std::vector<packages::Package>& packages) {
  const auto key_of = [](const packages::Package& package, const std::string& name) { return package.ecosystem + "/" + (package.ecosystem == "PyPI" ? packages::python_name(name) : name); };
  std::map<std::string, std::size_t> known;
  for (std::size_t i = 0; i < packages.size(); ++i) known.emplace(key_of(packages[i], packages[i].name), i);
  for (std::size_t i = 0; i < packages.size(); ++i) {
    for (const auto& name : packages[i].provides) known.emplace(key_of(packages[i], name), i);
  }
  std::vector<std::vector<std::size_t>> out(packages.size());
  for (std::size_t i = 0; i < packages.size(); ++i) {
    std::set<std::size_t> needs;
    for (const auto& name : packages[i].needs) {
      const auto found = known.find(key_of(packages[i], name));
      if (found != known.end() && found->second != i) needs.insert(found->second);
    }
    out[i].assign(needs.begin(), needs.end());
  }
  return out;
}

}  // namespace redoubt::sbom
