// SPDX-License-Identifier: Apache-2.0
#include "packages/rpm_header.h"

#include <algorithm>
#include <map>

#include "packages/bounded.h"
#include "packages/root_files.h"

namespace redoubt::packages {
namespace {

constexpr std::uint64_t kTagsMax = 0xffff, kStoreMax = 256 << 20, kEntrySize = 16, kListMax = 10'000, kFilesMax = 1'000'000;
enum Tag : std::uint32_t { kNameTag = 1000, kVersionTag = 1001, kReleaseTag = 1002, kEpochTag = 1003, kVendorTag = 1011, kLicenceTag = 1014, kUrlTag = 1020, kArchitectureTag = 1022, kSourcePackageTag = 1044, kProvidesTag = 1047, kRequiresTag = 1049, kFolderOfFileTag = 1116, kFileTag = 1117, kFolderTag = 1118 };
enum Type : std::uint32_t { kInt32 = 4, kString = 6, kStringArray = 8, kTranslated = 9 };

struct Value {
  std::uint32_t type = 0, count = 0;
  std::uint64_t offset = 0;
};

class Header {
 public:
  static Result<Header> parse(ByteView bytes, const std::string& place) {
    Header header;
    const auto tags = big32(bytes, 0), size = big32(bytes, 4);
    if (!tags || !size || *tags == 0 || *tags > kTagsMax || *size > kStoreMax) return broken(place);
    const auto index = slice(bytes, 8, *tags * kEntrySize);
    const auto store = index ? slice(bytes, 8 + index->size(), *size) : std::nullopt;
    if (!store) return broken(place);
    header.store_ = *store;
    for (std::uint64_t at = 0; at < index->size(); at += kEntrySize) {
      header.values_[static_cast<std::uint32_t>(*big32(*index, at))] = {static_cast<std::uint32_t>(*big32(*index, at + 4)), static_cast<std::uint32_t>(*big32(*index, at + 12)), *big32(*index, at + 8)};
    }
    return header;
  }

  static tl::unexpected<Error> broken(const std::string& place) {
    return fail(ErrorCode::invalid_argument, "RPM's database has a package header that is cut off or malformed", place, "the file is damaged; take the image as its maker published it");
  }

  // "" for a tag that is not there; nothing for one that points outside of the store.
  std::optional<std::string> text(Tag tag) const {
    const auto list = texts(tag, 1);
    if (!list) return std::nullopt;
    return list->empty() ? "" : list->front();
  }
  std::optional<std::vector<std::string>> texts(Tag tag, std::uint64_t max) const {
    std::vector<std::string> out;
    const auto found = values_.find(tag);
    if (found == values_.end()) return out;
    const auto& value = found->second;
    if (value.type != kString && value.type != kStringArray && value.type != kTranslated) return std::nullopt;
    std::uint64_t at = value.offset;
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(value.count, max); ++i) {
      if (at >= store_.size()) return std::nullopt;
      const auto rest = text_of(store_.subspan(static_cast<std::size_t>(at)));
      const auto end = rest.find('\0');
      if (end == rest.npos) return std::nullopt;
      out.emplace_back(rest.substr(0, end));
      at += end + 1;
    }
    return out;
  }
  std::optional<std::uint64_t> number(Tag tag, std::uint64_t index = 0) const {
    const auto found = values_.find(tag);
    if (found == values_.end() || found->second.type != kInt32 || index >= found->second.count) return std::nullopt;
    return big32(store_, found->second.offset + 4 * index);
  }

 private:
  ByteView store_;
  std::map<std::uint32_t, Value> values_;
};

// "glibc-2.34-60.el9.src.rpm" -> "glibc", "2.34-60.el9".
void read_rpm_source(const std::string& file, Package& package) {
  const auto end = file.rfind(".src.rpm") != file.npos ? file.rfind(".src.rpm") : file.rfind(".nosrc.rpm");
  const auto release = end == file.npos ? file.npos : file.rfind('-', end);
  const auto version = release == file.npos || release == 0 ? file.npos : file.rfind('-', release - 1);
  if (version == file.npos) return;
  package.source = file.substr(0, version);
  package.source_version = file.substr(version + 1, end - version - 1);
}

// Which of the package's files are records of Python packages. Folders and names stand apart.
std::vector<std::string> python_records_in(const Header& header) {
  std::vector<std::string> records;
  const auto names = header.texts(kFileTag, kFilesMax), folders = header.texts(kFolderTag, kFilesMax);
  for (std::size_t i = 0; names && folders && i < names->size(); ++i) {
    const auto folder = header.number(kFolderOfFileTag, i);
    if (!folder || *folder >= folders->size()) continue;
    const std::string path = (*folders)[static_cast<std::size_t>(*folder)] + (*names)[i];
    std::string relative = path.substr(std::min(path.find_first_not_of('/'), path.size()));
    if (record_kind(relative, false) == RecordKind::python_metadata) records.push_back(std::move(relative));
  }
  return records;
}

}  // namespace

Result<std::optional<Package>> read_rpm_header(ByteView bytes, const std::string& place, const Distribution& distribution) {
  const Header header = TRY(Header::parse(bytes, place));
  const auto name = header.text(kNameTag), version = header.text(kVersionTag), release = header.text(kReleaseTag), architecture = header.text(kArchitectureTag);
  if (!name || name->empty() || !version || version->empty() || !release || !architecture) return Header::broken(place);
  if (*name == "gpg-pubkey") return std::optional<Package>();
  const auto epoch = header.number(kEpochTag);
  Package package{distribution.ecosystem(), *name, *version + (release->empty() ? "" : "-" + *release), "", ""};
  read_rpm_source(header.text(kSourcePackageTag).value_or(""), package);
  package.purl = make_purl("rpm", distribution.id, *name, package.version,
                           {{"arch", *architecture}, {"distro", distribution.qualifier()}, {"epoch", epoch && *epoch > 0 ? std::to_string(*epoch) : ""},
                            {"upstream", header.text(kSourcePackageTag).value_or("")}});
  // With the epoch the version compares as the distribution's advisories have it.
  if (epoch && *epoch > 0) {
    package.version = std::to_string(*epoch) + ":" + package.version;
    if (!package.source_version.empty()) package.source_version = std::to_string(*epoch) + ":" + package.source_version;
  }
  package.architecture = *architecture;
  package.supplier = header.text(kVendorTag).value_or("");
  package.homepage = header.text(kUrlTag).value_or("");
  if (const auto licence = header.text(kLicenceTag).value_or(""); !licence.empty()) package.licences = {licence};
  package.needs = header.texts(kRequiresTag, kListMax).value_or(std::vector<std::string>());
  package.provides = header.texts(kProvidesTag, kListMax).value_or(std::vector<std::string>());
  package.python_records = python_records_in(header);
  package.places = {place};
  return std::optional(std::move(package));
}

}  // namespace redoubt::packages
