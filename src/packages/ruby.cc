// SPDX-License-Identifier: Apache-2.0
#include "packages/records.h"

namespace redoubt::packages {
namespace {

// s.name = "rack".freeze  ->  rack
std::string assigned(std::string_view text, std::string_view member) {
  for (auto at = text.find(member); at != text.npos; at = text.find(member, at + 1)) {
    auto rest = text.substr(at + member.size());
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    if (!rest.starts_with('=')) continue;
    rest = rest.substr(0, rest.find('\n'));
    const auto open = rest.find('"');
    if (open == rest.npos) continue;
    const auto close = rest.find('"', open + 1);
    if (close != rest.npos) return std::string(rest.substr(open + 1, close - open - 1));
  }
  return "";
}

}  // namespace

Result<Package> read_gemspec(std::string_view text, const std::string& place) {
  Package package{"RubyGems", assigned(text, "s.name"), assigned(text, "s.version"), "", ""};
  if (package.name.empty() || package.version.empty()) return fail(ErrorCode::invalid_argument, "the specification of a gem names no name or no version", place);
  if (const auto licence = assigned(text, "s.licenses"); !licence.empty()) package.licences = {licence};
  package.purl = make_purl("gem", "", package.name, package.version);
  package.places = {place};
  return package;
}

}  // namespace redoubt::packages
