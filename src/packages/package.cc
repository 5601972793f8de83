// SPDX-License-Identifier: Apache-2.0
#include "packages/package.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace redoubt::packages {
namespace {

std::string unquoted(std::string_view text) {
  std::string out;
  if (text.size() >= 2 && (text[0] == '"' || text[0] == '\'') && text.back() == text[0]) text = text.substr(1, text.size() - 2);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    out += text[i];
  }
  return out;
}

// Up to the `count`th dot: "3.18.4" -> "3.18".
std::string first_numbers(const std::string& version, int count) {
  std::size_t at = 0;
  for (; at < version.size(); ++at) {
    if (version[at] == '.' && --count == 0) break;
  }
  return version.substr(0, at);
}

// Debian's testing has a name and no number.
std::string debian_number(const Distribution& distribution) {
  static const std::map<std::string, std::string> kNumbers = {{"buster", "10"}, {"bullseye", "11"}, {"bookworm", "12"}, {"trixie", "13"}, {"forky", "14"}, {"duke", "15"}};
  if (!distribution.version.empty()) return first_numbers(distribution.version, 1);
  const auto found = kNumbers.find(distribution.codename);
  return found == kNumbers.end() ? "" : found->second;
}

// OSV marks the versions of even years' Aprils.
std::string ubuntu_number(const std::string& version) {
  const std::string number = first_numbers(version, 2);
  const bool long_term = number.size() == 5 && number.ends_with(".04") && (number[1] - '0') % 2 == 0;
  return number + (long_term ? ":LTS" : "");
}

}  // namespace

std::string Distribution::ecosystem() const {
  if (id == "debian") {
    const std::string number = debian_number(*this);
    return number.empty() ? "Debian" : "Debian:" + number;
  }
  if (id == "ubuntu") return "Ubuntu:" + ubuntu_number(version);
  if (id == "alpine") return "Alpine:v" + first_numbers(version, 2);
  if (id == "wolfi") return "Wolfi";
  if (id == "chainguard") return "Chainguard";
  if (id == "rocky") return "Rocky Linux:" + first_numbers(version, 1);
  if (id == "almalinux") return "AlmaLinux:" + first_numbers(version, 1);
  if (id == "rhel") return "Red Hat:enterprise_linux:" + first_numbers(version, 1);
  if (id == "opensuse-leap") return "openSUSE:Leap " + first_numbers(version, 2);
  if (id == "opensuse-tumbleweed") return "openSUSE:Tumbleweed";
  if (id == "sles") {
    const auto dot = version.find('.');
    return "SUSE:Linux Enterprise Server " + version.substr(0, dot) + (dot == version.npos ? "" : " SP" + version.substr(dot + 1));
  }
  if (id == "mageia") return "Mageia:" + first_numbers(version, 1);
  if (id == "azurelinux" || id == "mariner") return "Azure Linux:" + first_numbers(version, 1);
  if (id == "openEuler") return "openEuler:" + version;
  return id.empty() ? "unknown distribution" : version.empty() ? id : id + ":" + version;
}

std::string Distribution::qualifier() const {
  const std::string number = id == "debian" ? debian_number(*this) : version;
  return number.empty() ? id : id + "-" + number;
}

Result<Distribution> parse_os_release(std::string_view text, std::string_view where) {
  Distribution distribution;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto equals = line.find('=');
    if (equals == line.npos || line.starts_with('#')) continue;
    const auto key = line.substr(0, equals);
    const std::string value = unquoted(line.substr(equals + 1));
    if (key == "ID") distribution.id = value;
    if (key == "VERSION_ID") distribution.version = value;
    if (key == "VERSION_CODENAME") distribution.codename = value;
    if (key == "PRETTY_NAME") distribution.name = value;
  }
  if (distribution.id.empty()) return fail(ErrorCode::invalid_argument, "the distribution's description names no ID", std::string(where), "see os-release(5)");
  return distribution;
}

std::string escape_purl(std::string_view text) {
  std::string out;
  for (unsigned char c : text) {
    const bool plain = std::isalnum(c) != 0 || std::string_view(".-_~:").find(static_cast<char>(c)) != std::string_view::npos;
    out += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
  }
  return out;
}

std::string make_purl(std::string_view type, std::string_view name_space, std::string_view name, std::string_view version,
                      const std::vector<std::pair<std::string, std::string>>& qualifiers) {
  std::string out = fmt::format("pkg:{}/", type);
  while (!name_space.empty()) {
    const auto slash = std::min(name_space.find('/'), name_space.size());
    if (slash > 0) out += escape_purl(name_space.substr(0, slash)) + "/";
    name_space.remove_prefix(std::min(slash + 1, name_space.size()));
  }
  out += escape_purl(name);
  if (!version.empty()) out += "@" + escape_purl(version);
  char separator = '?';
  std::map<std::string, std::string> sorted(qualifiers.begin(), qualifiers.end());
  for (const auto& [key, value] : sorted) {
    if (value.empty()) continue;
    out += separator + key + "=" + escape_purl(value);
    separator = '&';
  }
  return out;
}

std::string python_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool separator = c == '-' || c == '_' || c == '.';
    if (separator && out.ends_with('-')) continue;
    out += separator ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

std::string purl_of(const Package& package) {
  if (!package.purl.empty()) return package.purl;
  if (package.ecosystem == "PyPI") {
    // The type's own rule: lower case, '-' for '_'.
    std::string name = package.name;
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return c == '_' ? '-' : static_cast<char>(std::tolower(c)); });
    return make_purl("pypi", "", name, package.version);
  }
  if (package.ecosystem.starts_with("Debian:")) return make_purl("deb", "debian", package.name, package.version, {{"arch", "amd64"}, {"distro", "debian-" + package.ecosystem.substr(7)}});
  return make_purl("generic", "", package.name, package.version);
}

void tidy(Inventory& inventory) {
  auto& all = inventory.packages;
  const auto key = [](const Package& package) { return std::tie(package.ecosystem, package.name, package.version, package.purl, package.architecture); };
  std::stable_sort(all.begin(), all.end(), [&](const Package& a, const Package& b) { return key(a) < key(b); });
  std::vector<Package> kept;
  std::map<std::string, std::size_t> known;  // by package URL, which is one for all writings of a name
  for (auto& package : all) {
    std::erase(package.licences, "");
    const auto [at, is_new] = known.try_emplace(purl_of(package), kept.size());
    if (is_new) {
      kept.push_back(std::move(package));
      continue;
    }
    auto& first = kept[at->second];
    if (first.owner != package.owner) first.owner.clear();  // one of the two is nobody's
    if (first.ecosystem.empty()) first.ecosystem = std::move(package.ecosystem);
    for (auto& place : package.places) {
      if (std::find(first.places.begin(), first.places.end(), place) == first.places.end()) first.places.push_back(std::move(place));
    }
    if (first.licences.empty()) first.licences = std::move(package.licences);
  }
  all = std::move(kept);
}

}  // namespace redoubt::packages
