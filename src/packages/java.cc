// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "packages/records.h"
#include "packages/zip.h"

namespace redoubt::packages {
namespace {

constexpr int kArchivesDepthMax = 4;
constexpr std::uint64_t kJavaTextMax = 4 << 20, kNestedMax = 512 << 20, kNestedTotalMax = 2ull << 30;
constexpr std::size_t kEntriesMax = 500'000;

using Properties = std::map<std::string, std::string, std::less<>>;

// Lines of "key<separator>value"; a line that starts with a space goes on with the one before, as manifests have it.
Properties parse_properties(std::string_view text, char separator) {
  Properties out;
  std::string last;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() && separator == ':') break;  // the main section's end
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == ' ' && separator == ':') {
      if (!last.empty()) out[last] += line.substr(1);
      continue;
    }
    const auto at = line.find(separator);
    if (at == line.npos) continue;
    auto value = line.substr(at + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    while (value.ends_with(' ')) value.remove_suffix(1);
    auto key = line.substr(0, at);
    while (key.ends_with(' ')) key.remove_suffix(1);
    last = key;
    out[last] = value;
  }
  return out;
}

std::string value_of(const Properties& properties, std::initializer_list<std::string_view> names) {
  for (const auto name : names) {
    const auto found = properties.find(name);
    // "${project.version}" was never filled in.
    if (found != properties.end() && !found->second.empty() && found->second.find("${") == found->second.npos) return found->second;
  }
  return "";
}

Package java_package(const std::string& group, const std::string& artifact, const std::string& version, const std::string& place) {
  Package package{"Maven", group + ":" + artifact, version, "", ""};
  package.purl = make_purl("maven", group, artifact, version);
  package.places = {place};
  return package;
}

bool starts_with_digit(std::string_view text) { return !text.empty() && text[0] >= '0' && text[0] <= '9'; }

// What stands between numbers of one version: "1.0-beta-2".
bool is_between_numbers(std::string_view word) {
  for (const char* known : {"alpha", "beta", "milestone", "rc", "cr", "m", "b", "pre", "sp"}) {
    if (word == known) return true;
  }
  return false;
}

// "lib/commons-text-1.9.jar" -> "commons-text", "1.9"; "log4j-1.2-api-2.17.1.jar" -> "log4j-1.2-api", "2.17.1".
std::pair<std::string, std::string> split_file_name(std::string_view path) {
  auto name = path.substr(std::min(path.find_last_of("/:") + 1, path.size()));
  name = name.substr(0, name.rfind('.'));
  std::size_t version = name.npos;  // where the last number begins, and those right before it
  for (std::size_t end = name.size(), dash = name.rfind('-'); dash != name.npos && dash > 0; end = dash, dash = name.rfind('-', dash - 1)) {
    const auto part = name.substr(dash + 1, end - dash - 1);
    if (starts_with_digit(part)) version = dash;
    if (version != name.npos && !starts_with_digit(part) && !is_between_numbers(part)) break;
  }
  if (version == name.npos) return {std::string(name), ""};
  return {std::string(name.substr(0, version)), std::string(name.substr(version + 1))};
}

// For an archive that Maven did not build. Without a group its name is no coordinate, and its version may not be known, but it is listed.
std::optional<Package> package_of_manifest(const Properties& manifest, const std::string& place) {
  const auto [file, file_version] = split_file_name(place);
  std::string symbolic = value_of(manifest, {"Bundle-SymbolicName"});
  symbolic = symbolic.substr(0, symbolic.find(';'));
  const std::string version = !file_version.empty() ? file_version : value_of(manifest, {"Implementation-Version", "Bundle-Version", "Specification-Version"});
  if (file.empty()) return std::nullopt;
  std::string group = value_of(manifest, {"Implementation-Vendor-Id"});
  if (group.empty() && symbolic.find('.') != symbolic.npos) {
    group = symbolic.ends_with("." + file) ? symbolic.substr(0, symbolic.size() - file.size() - 1) : symbolic;
  }
  return java_package(group.empty() ? file : group, file, version, place);
}

class Reader {
 public:
  Status read(ByteView archive, const std::string& place, int depth) {
    const ViewObject object(archive);
    const auto entries = TRY(list_zip(object, place, kEntriesMax));
    Properties manifest;
    bool has_pom = false;
    for (const auto& entry : entries) {
      if (entry.name == "META-INF/MANIFEST.MF") manifest = parse_properties(TRY(read_zip_entry(object, entry, kJavaTextMax, place)), ':');
      if (entry.name.starts_with("META-INF/maven/") && entry.name.ends_with("/pom.properties")) has_pom = TRY(add_pom(object, entry, place)) || has_pom;
      if (is_java_archive(entry.name)) TRY(read_nested(object, entry, place, depth));
    }
    if (has_pom) return {};
    if (auto package = package_of_manifest(manifest, place)) packages_.push_back(std::move(*package));
    return {};
  }
  Packages take() { return std::move(packages_); }

 private:
  static bool is_java_archive(std::string_view name) {
    return name.ends_with(".jar") || name.ends_with(".war") || name.ends_with(".ear") || name.ends_with(".par") || name.ends_with(".sar") || name.ends_with(".nar");
  }

  Result<bool> add_pom(const RandomAccess& archive, const ZipEntry& entry, const std::string& place) {
    const auto pom = parse_properties(TRY(read_zip_entry(archive, entry, kJavaTextMax, place)), '=');
    const auto group = value_of(pom, {"groupId"}), artifact = value_of(pom, {"artifactId"}), version = value_of(pom, {"version"});
    if (group.empty() || artifact.empty() || version.empty()) return false;
    packages_.push_back(java_package(group, artifact, version, place));
    return true;
  }

  Status read_nested(const RandomAccess& archive, const ZipEntry& entry, const std::string& place, int depth) {
    if (depth == kArchivesDepthMax) return fail(ErrorCode::limit_exceeded, "archives nested too deep", place + ":" + entry.name);
    nested_ += entry.size;
    if (nested_ > kNestedTotalMax) return fail(ErrorCode::limit_exceeded, "too much in nested archives", place);
    const std::string inner = TRY(read_zip_entry(archive, entry, kNestedMax, place));
    return read(view_of(inner), place + ":" + entry.name, depth + 1);
  }

  Packages packages_;
  std::uint64_t nested_ = 0;
};

}  // namespace

Result<Packages> read_java_archive(ByteView archive, const std::string& place) {
  Reader reader;
  TRY(reader.read(archive, place, 0));
  return reader.take();
}

}  // namespace redoubt::packages
