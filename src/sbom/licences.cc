// SPDX-License-Identifier: Apache-2.0
#include "sbom/licences.h"

#include <algorithm>
#include <map>
#include <set>

namespace redoubt::sbom {
namespace {

const std::set<std::string, std::less<>>& identifiers() {
  static const std::set<std::string, std::less<>> kKnown = {
      "0BSD", "AFL-2.1", "AGPL-3.0-only", "AGPL-3.0-or-later", "Apache-1.1", "Apache-2.0", "Artistic-1.0", "Artistic-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause", "BSL-1.0",
      "BlueOak-1.0.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-SA-4.0", "CC0-1.0", "CDDL-1.0", "CDDL-1.1", "EPL-1.0", "EPL-2.0", "GPL-1.0-only", "GPL-1.0-or-later", "GPL-2.0-only",
      "GPL-2.0-or-later", "GPL-3.0-only", "GPL-3.0-or-later", "HPND", "ISC", "LGPL-2.0-only", "LGPL-2.0-or-later", "LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-only", "LGPL-3.0-or-later",
      "MIT", "MIT-0", "MPL-1.1", "MPL-2.0", "OFL-1.1", "OpenSSL", "PSF-2.0", "Python-2.0", "Ruby", "Unicode-3.0", "Unlicense", "Vim", "W3C", "WTFPL", "X11", "Zlib", "ZPL-2.1", "bzip2-1.0.6", "curl"};
  return kKnown;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// Words of Debian's and PyPI's that mean one licence.
const std::map<std::string, std::string, std::less<>>& synonyms() {
  static const std::map<std::string, std::string, std::less<>> kKnown = {
      {"mit license", "MIT"}, {"expat", "MIT"}, {"the mit license", "MIT"}, {"apache 2.0", "Apache-2.0"}, {"apache license 2.0", "Apache-2.0"}, {"apache license, version 2.0", "Apache-2.0"},
      {"apache-2", "Apache-2.0"}, {"apache 2", "Apache-2.0"}, {"bsd-3-clause license", "BSD-3-Clause"}, {"bsd 3-clause", "BSD-3-Clause"}, {"3-clause bsd", "BSD-3-Clause"}, {"bsd-2-clause license", "BSD-2-Clause"},
      {"mozilla public license 2.0 (mpl 2.0)", "MPL-2.0"}, {"isc license (iscl)", "ISC"}, {"isc license", "ISC"}, {"gpl-2", "GPL-2.0-only"}, {"gpl-2+", "GPL-2.0-or-later"}, {"gpl-3", "GPL-3.0-only"},
      {"gpl-3+", "GPL-3.0-or-later"}, {"gpl-1+", "GPL-1.0-or-later"}, {"lgpl-2+", "LGPL-2.0-or-later"}, {"lgpl-2.1", "LGPL-2.1-only"}, {"lgpl-2.1+", "LGPL-2.1-or-later"}, {"lgpl-3", "LGPL-3.0-only"},
      {"lgpl-3+", "LGPL-3.0-or-later"}, {"gplv2", "GPL-2.0-only"}, {"gplv2+", "GPL-2.0-or-later"}, {"gplv3", "GPL-3.0-only"}, {"gplv3+", "GPL-3.0-or-later"}, {"lgplv2+", "LGPL-2.0-or-later"},
      {"lgplv2.1+", "LGPL-2.1-or-later"}, {"psf", "PSF-2.0"}, {"psf-2.0", "PSF-2.0"}, {"python software foundation license", "PSF-2.0"}, {"boost-1.0", "BSL-1.0"}, {"the unlicense (unlicense)", "Unlicense"},
      {"gpl-2.0", "GPL-2.0-only"}, {"gpl-2.0+", "GPL-2.0-or-later"}, {"gpl-3.0", "GPL-3.0-only"}, {"lgpl-2.1-or-later", "LGPL-2.1-or-later"}, {"agpl-3.0", "AGPL-3.0-only"}, {"cc0", "CC0-1.0"}};
  return kKnown;
}

}  // namespace

std::optional<std::string> spdx_identifier(const std::string& words) {
  const std::string small = lower(words);
  for (const auto& identifier : identifiers()) {
    if (lower(identifier) == small) return identifier;
  }
  const auto found = synonyms().find(small);
  return found == synonyms().end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string> spdx_expression(const std::string& words) {
  if (const auto one = spdx_identifier(words)) return one;
  std::string word;
  bool wants_licence = true;
  int depth = 0;
  for (std::size_t i = 0; i <= words.size(); ++i) {
    const char c = i < words.size() ? words[i] : ' ';
    if (c != ' ' && c != '(' && c != ')') {
      word += c;
      continue;
    }
    if (!word.empty()) {
      const bool is_operator = word == "AND" || word == "OR";
      if (wants_licence == is_operator || (!is_operator && !identifiers().contains(word))) return std::nullopt;
      wants_licence = is_operator;
      word.clear();
    }
    if (c == '(') {
      if (!wants_licence) return std::nullopt;
      ++depth;
    }
    if (c == ')' && (wants_licence || --depth < 0)) return std::nullopt;
  }
  return wants_licence || depth != 0 ? std::nullopt : std::optional(words);
}

}  // namespace redoubt::sbom
