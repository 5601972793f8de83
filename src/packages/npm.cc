// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/json.h"
#include "packages/records.h"

namespace redoubt::packages {
namespace {

constexpr std::size_t kNpmDepthMax = 200;  // of nested dependencies in a lock file

Package npm_package(const std::string& name, const std::string& version, const std::string& place) {
  Package package{"npm", name, version, "", ""};
  const auto slash = name.find('/');
  const bool scoped = name.starts_with('@') && slash != name.npos;
  package.purl = make_purl("npm", scoped ? name.substr(0, slash) : "", scoped ? name.substr(slash + 1) : name, version);
  package.places = {place};
  return package;
}

// "license": "MIT", {"type": "MIT"}, or the old "licenses": [{"type": "MIT"}].
void read_licences(const Json& value, Package& package) {
  const auto add = [&](const Json& one) {
    if (one.is_string()) package.licences.push_back(one.get<std::string>());
    if (one.is_object() && !json_or(one, "type", "").empty()) package.licences.push_back(json_or(one, "type", ""));
  };
  if (value.contains("license")) add(value["license"]);
  for (const auto& one : json_or(value, "licenses", Json::array())) add(one);
}

void read_npm_needs(const Json& value, const char* key, Package& package) {
  const Json needs = json_or(value, key, Json::object());
  for (const auto& [name, range] : needs.items()) package.needs.push_back(name);
}

// Subresource integrity: "sha512-<base64>".
void read_integrity(const std::string& integrity, Package& package) {
  for (const auto& [prefix, name] : {std::pair{"sha512-", "SHA-512"}, {"sha256-", "SHA-256"}, {"sha1-", "SHA-1"}}) {
    if (!integrity.starts_with(prefix)) continue;
    if (const auto bytes = from_base64(integrity.substr(std::string_view(prefix).size()))) package.hashes.emplace_back(name, to_hex(*bytes));
  }
}

std::string name_of_path(const std::string& path) {
  const auto at = path.rfind("node_modules/");
  return at == path.npos ? "" : path.substr(at + 13);
}

// "npm:real@2.0.0", "npm:@scope/real@^2": what is installed under another name; npos where `text` names no other package.
std::size_t end_of_alias(std::string_view text) { return text.starts_with("npm:") && text.size() > 5 ? text.find('@', 5) : text.npos; }

void add_locked(std::string name, const Json& value, const std::string& place, Packages& packages) {
  std::string version = json_or(value, "version", "");
  if (const auto at = end_of_alias(version); at != version.npos) {
    name = version.substr(4, at - 4);
    version = version.substr(at + 1);
  }
  if (name.empty() || version.empty() || json_or(value, "link", false)) return;
  // A dependency from elsewhere has its address for a version.
  if (version.find_first_of(":/") != version.npos) return;
  Package package = npm_package(name, version, place);
  read_licences(value, package);
  read_integrity(json_or(value, "integrity", ""), package);
  read_npm_needs(value, value.contains("requires") ? "requires" : "dependencies", package);
  packages.push_back(std::move(package));
}

Status add_version_one(const Json& dependencies, const std::string& place, std::size_t depth, Packages& packages) {
  if (depth > kNpmDepthMax) return fail(ErrorCode::limit_exceeded, "dependencies nested too deep", place);
  for (const auto& [name, value] : dependencies.items()) {
    if (!value.is_object()) return fail(ErrorCode::invalid_argument, "a dependency that is no object: " + name, place);
    add_locked(name, value, place, packages);
    TRY(add_version_one(json_or(value, "dependencies", Json::object()), place, depth + 1, packages));
  }
  return {};
}

// '"@scope/name@^1.0.0", ...' -> "@scope/name"; 'name@npm:other@2:' -> "other". "" for a folder of the project itself.
std::string yarn_name(std::string_view line) {
  if (line.starts_with('"')) line.remove_prefix(1);
  const auto at = line.find('@', 1);
  if (at == line.npos || line.substr(at).starts_with("@workspace:")) return "";
  const auto range = line.substr(at + 1, line.find_first_of(",\":", at + 5) - at - 1);
  const auto alias = end_of_alias(range);
  return std::string(alias == range.npos ? line.substr(0, at) : range.substr(4, alias - 4));
}

std::string yarn_value(std::string_view line) {
  const auto space = line.find_first_of(" :");
  auto value = space == line.npos ? std::string_view() : line.substr(space + 1);
  while (value.starts_with(' ') || value.starts_with('"')) value.remove_prefix(1);
  while (value.ends_with('"') || value.ends_with('\r')) value.remove_suffix(1);
  return std::string(value);
}

}  // namespace

Result<Package> read_npm_package(std::string_view text, const std::string& place) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const Json value = TRY(parse_json(text, place, {.bytes_max = 16 << 20}));
  const std::string name = json_or(value, "name", ""), version = json_or(value, "version", "");
  if (name.empty() || version.empty()) return fail(ErrorCode::not_found, "no name or no version", place);
  Package package = npm_package(name, version, place);
  read_licences(value, package);
  read_npm_needs(value, "dependencies", package);
  package.homepage = json_or(value, "homepage", "");
  return package;
}

Result<Packages> read_npm_lock(std::string_view text, const std::string& place) {
  const Json value = TRY(parse_json(text, place, {.bytes_max = 256 << 20, .depth_max = 2 * kNpmDepthMax}));
  Packages packages;
  if (!value.is_object()) return fail(ErrorCode::invalid_argument, "the lock file is no object", place);
  if (value.contains("packages")) {
    const Json all = TRY(json_object(value, "packages", place));
    for (const auto& [path, one] : all.items()) {
      if (!one.is_object()) return fail(ErrorCode::invalid_argument, "a package that is no object: " + path, place);
      const std::string alias = json_or(one, "name", "");
      add_locked(path.empty() ? "" : alias.empty() ? name_of_path(path) : alias, one, place, packages);
    }
    return packages;
  }
  TRY(add_version_one(json_or(value, "dependencies", Json::object()), place, 0, packages));
  return packages;
}

Result<Packages> read_yarn_lock(std::string_view text, const std::string& place) {
  Packages packages;
  std::string name;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.starts_with('#')) continue;
    if (line[0] != ' ') {
      name = yarn_name(line);
    } else if (line.starts_with("  version") && !name.empty()) {
      const std::string version = yarn_value(line.substr(2));
      if (!version.empty() && version.find_first_of(":/") == version.npos) packages.push_back(npm_package(name, version, place));
      name.clear();
    } else if (line.starts_with("  integrity") && !packages.empty()) {
      read_integrity(yarn_value(line.substr(2)), packages.back());
    }
  }
  return packages;
}

}  // namespace redoubt::packages
