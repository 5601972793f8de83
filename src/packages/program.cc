// SPDX-License-Identifier: Apache-2.0
//
// Go: debug/buildinfo of its library describes the format. Rust: https://github.com/rust-secure-code/cargo-auditable, "PARSING.md".
#include <algorithm>

#include "base/json.h"
#include "packages/elf_file.h"
#include "packages/records.h"
#include "packages/zip.h"

namespace redoubt::packages {
namespace {

constexpr std::string_view kGoMagic = "\xff Go buildinf:";
constexpr std::uint64_t kSearchMax = 64 << 10, kModulesMax = 16 << 20;
constexpr std::size_t kAuditMax = 8 << 20;

struct GoInfo {
  std::string version, modules;
};

tl::unexpected<Error> broken_program(const char* what, const std::string& place) { return fail(ErrorCode::invalid_argument, what, place, "build the program again, or take it as its maker published it"); }

// The blob starts at a multiple of 16 in its section, or near the start of the data where there are no sections.
std::optional<ByteView> find_go_info(const ElfFile& file) {
  auto place = file.section(".go.buildinfo");
  if (!place) place = file.data();
  if (!place) return std::nullopt;
  for (std::size_t at = 0; at + kGoMagic.size() <= std::min<std::uint64_t>(place->size(), kSearchMax); at += 16) {
    if (text_of(place->subspan(at, kGoMagic.size())) == kGoMagic) return place->subspan(at);
  }
  return std::nullopt;
}

// A length in 7 bits a byte, then the text.
std::optional<std::string> take_text(ByteView& bytes) {
  std::uint64_t length = 0;
  for (unsigned shift = 0;; shift += 7) {
    if (bytes.empty() || shift > 28) return std::nullopt;
    const std::uint8_t byte = bytes[0];
    bytes = bytes.subspan(1);
    length |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  const auto text = slice(bytes, 0, length);
  if (!text || length > kModulesMax) return std::nullopt;
  bytes = bytes.subspan(static_cast<std::size_t>(length));
  return to_text(*text);
}

// Before Go 1.18: addresses of strings, each an address and a length.
std::optional<std::string> text_at(const ElfFile& file, std::uint64_t address, std::size_t pointer, ByteOrder order) {
  const auto header = file.at_address(address, 2 * pointer);
  if (!header) return std::nullopt;
  const auto length = *number_at(*header, pointer, pointer, order);
  const auto text = length > kModulesMax ? std::nullopt : file.at_address(*number_at(*header, 0, pointer, order), length);
  return text ? std::optional(to_text(*text)) : std::nullopt;
}

std::optional<GoInfo> read_go_info(const ElfFile& file, ByteView blob) {
  if (blob.size() < 32) return std::nullopt;
  std::optional<std::string> version, modules;
  const std::uint8_t pointer = blob[14], flags = blob[15];
  if ((flags & 2) != 0) {
    ByteView rest = blob.subspan(32);
    version = take_text(rest);
    modules = version ? take_text(rest) : std::nullopt;
  } else {
    if (pointer != 4 && pointer != 8) return std::nullopt;
    const auto order = (flags & 1) != 0 ? ByteOrder::big : ByteOrder::little;
    version = text_at(file, *number_at(blob, 16, pointer, order), pointer, order);
    modules = text_at(file, *number_at(blob, 16u + pointer, pointer, order), pointer, order);
    // A program without modules has a null pointer there.
    if (!modules && *number_at(blob, 16u + pointer, pointer, order) == 0) modules = "";
  }
  if (!version || !modules) return std::nullopt;
  // The text stands between two marks of 16 bytes.
  const bool marked = modules->size() >= 33 && (*modules)[modules->size() - 17] == '\n';
  return GoInfo{*version, marked ? modules->substr(16, modules->size() - 32) : ""};
}

// "go1.21rc2 X:boringcrypto" -> "1.21.0-rc.2", as Go's advisories have the standard library's versions.
std::string library_version(std::string_view version) {
  version = version.substr(0, version.find(' '));
  if (!version.starts_with("go1")) return std::string(version);
  version.remove_prefix(2);
  const auto end = std::min(version.find_first_not_of("0123456789."), version.size());
  std::string numbers(version.substr(0, end)), rest(version.substr(end));
  for (auto dots = std::count(numbers.begin(), numbers.end(), '.'); dots < 2; ++dots) numbers += ".0";
  for (const char* mark : {"rc", "beta"}) {
    if (rest.starts_with(mark)) return numbers + "-" + mark + "." + rest.substr(std::string_view(mark).size());
  }
  return numbers;
}

Package go_package(std::string name, std::string version, const std::string& place) {
  if (version == "(devel)") version.clear();  // built from a working tree
  Package package{"Go", std::move(name), std::move(version), "", ""};
  const auto slash = package.name.rfind('/');
  package.purl = make_purl("golang", slash == package.name.npos ? "" : package.name.substr(0, slash), slash == package.name.npos ? package.name : package.name.substr(slash + 1), package.version);
  package.places = {place};
  return package;
}

std::vector<std::string_view> columns(std::string_view line) {
  std::vector<std::string_view> out;
  while (true) {
    const auto tab = std::min(line.find('\t'), line.size());
    out.push_back(line.substr(0, tab));
    if (tab == line.size()) return out;
    line.remove_prefix(tab + 1);
  }
}

// Lines "mod", "dep" with path, version, sum; "=>" replaces the one before.
void read_modules(std::string_view text, const std::string& place, Packages& packages) {
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto parts = columns(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (parts.size() < 3 || parts[1].empty()) continue;
    if (parts[0] == "=>" && !packages.empty()) {
      packages.back() = go_package(std::string(parts[1]), std::string(parts[2]), place);
    } else if (parts[0] == "mod" || parts[0] == "dep") {
      packages.push_back(go_package(std::string(parts[1]), std::string(parts[2]), place));
    } else {
      continue;
    }
    // "h1:" and the base64 of a SHA-256 over the module's files.
    if (parts.size() > 3 && parts[3].starts_with("h1:")) {
      if (const auto sum = from_base64(parts[3].substr(3)); sum && sum->size() == 32) packages.back().hashes = {{"SHA-256", to_hex(*sum)}};
    }
  }
}

Status read_go(const ElfFile& file, const std::string& place, Packages& packages) {
  const auto blob = find_go_info(file);
  if (!blob) return {};
  const auto info = read_go_info(file, *blob);
  if (!info) return broken_program("the program's Go build information is cut off or damaged", place);
  read_modules(info->modules, place, packages);
  packages.push_back(go_package("stdlib", library_version(info->version), place));
  return {};
}

Status read_rust(const ElfFile& file, const std::string& place, Packages& packages) {
  const auto section = file.section(".dep-v0");
  if (!section) return {};
  const Json audit = TRY(parse_json(TRY(inflate_zlib(*section, kAuditMax, place)), place, {.bytes_max = kAuditMax}));
  const Json list = TRY(json_array(audit, "packages", place));
  const auto name_of = [&](const Json& index) -> std::string {
    return index.is_number_unsigned() && index.get<std::uint64_t>() < list.size() ? json_or(list[index.get<std::size_t>()], "name", "") : "";
  };
  for (const auto& each : list) {
    if (json_or(each, "kind", "runtime") != "runtime") continue;
    Package package{json_or(each, "source", "crates.io") == "crates.io" ? "crates.io" : "", TRY(json_string(each, "name", place)), TRY(json_string(each, "version", place)), "", ""};
    package.purl = make_purl("cargo", "", package.name, package.version);
    package.places = {place};
    for (const auto& index : json_or(each, "dependencies", Json::array())) {
      if (auto name = name_of(index); !name.empty()) package.needs.push_back(std::move(name));
    }
    packages.push_back(std::move(package));
  }
  return {};
}

}  // namespace

Result<Packages> read_program(ByteView program, const std::string& place) {
  Packages packages;
  if (!ElfFile::is_elf(program)) return packages;
  const auto file = ElfFile::parse(program, place);
  if (!file) return fail(file.error());
  TRY(read_go(*file, place, packages));
  TRY(read_rust(*file, place, packages));
  return packages;
}

}  // namespace redoubt::packages
