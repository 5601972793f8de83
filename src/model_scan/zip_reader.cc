// SPDX-License-Identifier: Apache-2.0
#include "model_scan/zip_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "model_scan/byte_reader.h"

namespace redoubt::model_scan {
namespace {

constexpr std::size_t kEndBytes = 22, kEntryBytes = 46, kHeaderBytes = 30, kTailBytes = (64 << 10) + kEndBytes;
constexpr std::size_t kZipMembersMax = 200'000, kNameBytesMax = 4096, kProblemsMax = 200;
constexpr std::uint16_t kEncrypted = 1 << 0, kDescriptor = 1 << 3, kUtf8 = 1 << 11, kLevels = 3 << 1;
constexpr std::uint32_t kFull32 = 0xffffffff;

std::uint64_t number(ByteView bytes, std::size_t at, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = count; i-- > 0;) value = value << 8 | bytes[at + i];
  return value;
}

struct Directory {
  std::uint64_t offset = 0, bytes = 0, count = 0;
  std::uint64_t records = 0;  // where the end records begin
};

class ZipReader {
 public:
  ZipReader(const RandomAccess& file, const std::function<void(ZipProblem)>& found) : file_(file), found_(found) {}

  Result<std::vector<ZipMember>> run() {
    const auto end = TRY(find_zip_end(file_));
    if (!end) {
      tell("malformed", "high", "the file has no directory at its end", "", file_.size());
      return std::move(members_);
    }
    const auto directory = TRY(read_end(*end));
    if (!directory) return std::move(members_);
    TRY(read_directory(*directory));
    TRY(read_headers());
    check_layout(*directory);
    return std::move(members_);
  }

 private:
  void tell(const char* rule, const char* severity, std::string detail, std::string member, std::uint64_t offset) {
    if (++told_ <= kProblemsMax) found_({rule, severity, std::move(detail), std::move(member), std::min(offset, file_.size())});
  }

  Result<Bytes> read(std::uint64_t offset, std::uint64_t count) {
    Bytes bytes(static_cast<std::size_t>(count));
    TRY(file_.read_at(offset, bytes));
    return bytes;
  }

  Result<std::optional<Directory>> read_end(std::uint64_t at) {
    const Bytes record = TRY(read(at, kEndBytes));
    Directory directory{number(record, 16, 4), number(record, 12, 4), number(record, 10, 2), at};
    if (at + kEndBytes != file_.size()) tell("zip-trailing-data", "critical", "bytes stand behind the end record", "", at + kEndBytes);
    if (number(record, 4, 2) != 0 || number(record, 6, 2) != 0 || number(record, 8, 2) != directory.count) tell("zip-malformed", "high", "a part of an archive of several files", "", at);
    if (at >= 20) {
      const Bytes locator = TRY(read(at - 20, 20));
      if (text_of(locator).starts_with("PK\x06\x07")) {
        if (!TRY(read_end64(number(locator, 8, 8), at - 20, directory))) return std::optional<Directory>();
      }
    }
    const bool fits = directory.bytes <= directory.records && directory.offset <= directory.records - directory.bytes;
    if (!fits || directory.count > kZipMembersMax || directory.count * kEntryBytes > directory.bytes) {
      tell("zip-malformed", "high", "the directory does not fit into the file", "", at);
      return std::optional<Directory>();
    }
    if (directory.offset + directory.bytes != directory.records) {
      tell("zip-prepended-data", "critical", "the directory does not end where its end record begins: bytes stand before the archive or in between", "", directory.offset + directory.bytes);
      directory.offset = directory.records - directory.bytes;  // as readers take it that allow for it
    }
    return std::optional(directory);
  }

  Result<bool> read_end64(std::uint64_t at, std::uint64_t locator, Directory& directory) {
    constexpr std::uint64_t kRecordBytes = 56;
    if (locator < kRecordBytes || at != locator - kRecordBytes) {
      tell("zip-malformed", "high", "the zip64 end record is not where it must be", "", locator);
      return false;
    }
    const Bytes record = TRY(read(at, kRecordBytes));
    if (!text_of(record).starts_with("PK\x06\x06") || number(record, 4, 8) != kRecordBytes - 12) {
      tell("zip-malformed", "high", "the zip64 end record is broken", "", at);
      return false;
    }
    const Directory full{number(record, 48, 8), number(record, 40, 8), number(record, 32, 8), at};
    const auto same = [](std::uint64_t small, std::uint64_t large, std::uint64_t mark) { return small == large || small == mark; };
    if (!same(directory.offset, full.offset, kFull32) || !same(directory.bytes, full.bytes, kFull32) || !same(directory.count, full.count, 0xffff)) {
      tell("zip-differs", "critical", "the two end records describe two directories", "", at);
    }
    directory = full;
    return true;
  }

  Status read_directory(const Directory& directory) {
    const Part part(file_, directory.offset, directory.bytes);
    ByteReader reader(part);
    std::set<std::string> names;
    for (std::uint64_t i = 0; i < directory.count; ++i) {
      const std::uint64_t at = directory.offset + reader.offset();
      const auto* bytes = reader.peek(kEntryBytes);
      if (reader.error()) return fail(*reader.error());
      if (bytes == nullptr || number({bytes, 4}, 0, 4) != 0x02014b50) {
        tell("zip-malformed", "high", "an entry of the directory is broken", "", at);
        return {};
      }
      if (!read_entry(reader, at, names)) return {};
    }
    if (reader.left() != 0) tell("zip-malformed", "high", "the directory holds more than its entries", "", directory.offset + reader.offset());
    return {};
  }

  bool read_entry(ByteReader& reader, std::uint64_t at, std::set<std::string>& names) {
    const std::size_t name_bytes = number({reader.peek(kEntryBytes), kEntryBytes}, 28, 2), extra_bytes = number({reader.peek(kEntryBytes), kEntryBytes}, 30, 2),
                      comment_bytes = number({reader.peek(kEntryBytes), kEntryBytes}, 32, 2);
    const std::size_t whole = kEntryBytes + name_bytes + extra_bytes;
    const auto* bytes = name_bytes > kNameBytesMax || whole > ByteReader::kAheadMax ? nullptr : reader.peek(whole);
    if (bytes == nullptr) {
      tell("zip-malformed", "high", "an entry of the directory is cut off or has too long a name", "", at);
      return false;
    }
    const ByteView entry(bytes, whole);
    ZipMember member;
    member.name = to_text(entry.subspan(kEntryBytes, name_bytes));
    member.flags = static_cast<std::uint16_t>(number(entry, 8, 2));
    member.method = static_cast<std::uint16_t>(number(entry, 10, 2));
    member.crc32 = static_cast<std::uint32_t>(number(entry, 16, 4));
    member.compressed = number(entry, 20, 4);
    member.bytes = number(entry, 24, 4);
    member.header = number(entry, 42, 4);
    member.is_link = (number(entry, 38, 4) >> 16 & 0170000) == 0120000;
    widen(member, entry.subspan(kEntryBytes + name_bytes), at);
    check_entry(member, names, at);
    reader.advance(whole);
    if (!reader.skip(comment_bytes)) {
      tell("zip-malformed", "high", "an entry of the directory is cut off", member.name, at);
      return false;
    }
    members_.push_back(std::move(member));
    return true;
  }

  // Zip64: the numbers that did not fit, in a fixed order.
  void widen(ZipMember& member, ByteView extra, std::uint64_t at) {
    while (extra.size() >= 4) {
      const std::size_t id = number(extra, 0, 2), size = number(extra, 2, 2);
      if (size > extra.size() - 4) break;
      ByteView field = extra.subspan(4, size);
      constexpr std::size_t kUnicodeName = 0x7075, kBeforeName = 5;
      if (id == kUnicodeName && text_of(field).substr(std::min(kBeforeName, size)) != member.name) tell("zip-differs", "critical", "a member has a second name in an extra field", member.name, at);
      if (id == 1) {
        for (std::uint64_t* value : {&member.bytes, &member.compressed, &member.header}) {
          if (*value != kFull32 || field.size() < 8) continue;
          *value = number(field, 0, 8);
          field = field.subspan(8);
        }
      }
      extra = extra.subspan(4 + size);
    }
    if (!extra.empty()) tell("zip-malformed", "high", "an extra field that can't be read", member.name, at);
  }

  void check_entry(const ZipMember& member, std::set<std::string>& names, std::uint64_t at) {
    const std::string bare = member.is_folder() ? member.name.substr(0, member.name.size() - 1) : member.name;
    if (!is_safe_relative_path(bare) || bare.find(':') != bare.npos) tell("zip-slip", "critical", "a name that leaves the folder it would be unpacked into", member.name, at);
    // torch finds members whatever the case of their letters.
    std::string folded = member.name;
    std::transform(folded.begin(), folded.end(), folded.begin(), [](unsigned char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : static_cast<char>(c); });
    if (!names.insert(folded).second) tell("zip-duplicate", "critical", "two members have one name", member.name, at);
    if ((member.flags & kEncrypted) != 0) tell("zip-encrypted", "high", "a member is encrypted, so nobody knows what it is", member.name, at);
    if ((member.flags & ~(kEncrypted | kDescriptor | kUtf8 | kLevels)) != 0) tell("zip-malformed", "high", fmt::format("flags {:#06x} that no reader needs", member.flags), member.name, at);
    if (member.method != kZipStored && member.method != kZipDeflated) tell("zip-method", "high", fmt::format("compression method {} is not read", member.method), member.name, at);
    if (member.is_link) tell("zip-link", "critical", "a member is a symbolic link", member.name, at);
    if (member.method == kZipStored && member.compressed != member.bytes) tell("zip-differs", "critical", "a stored member has two sizes", member.name, at);
  }

  Status read_headers() {
    std::sort(members_.begin(), members_.end(), [](const auto& a, const auto& b) { return a.header < b.header; });
    std::vector<ZipMember> kept;
    for (auto& member : members_) {
      if (TRY(read_header(member))) kept.push_back(std::move(member));
    }
    members_ = std::move(kept);
    return {};
  }

  // False where a member's bytes are not there.
  Result<bool> read_header(ZipMember& member) {
    if (member.header > file_.size() || file_.size() - member.header < kHeaderBytes) {
      tell("zip-malformed", "high", "a member lies beyond the end", member.name, member.header);
      return false;
    }
    const Bytes fixed = TRY(read(member.header, kHeaderBytes));
    const std::uint64_t name_bytes = number(fixed, 26, 2), extra_bytes = number(fixed, 28, 2);
    member.data = member.header + kHeaderBytes + name_bytes + extra_bytes;
    if (number(fixed, 0, 4) != 0x04034b50 || member.data > file_.size() || member.compressed > file_.size() - member.data) {
      tell("zip-malformed", "high", "a member's header is broken, or its bytes are cut off", member.name, member.header);
      return false;
    }
    const Bytes rest = TRY(read(member.header + kHeaderBytes, name_bytes + extra_bytes));
    ZipMember local;
    local.bytes = number(fixed, 22, 4);
    local.compressed = number(fixed, 18, 4);
    local.name = to_text(ByteView(rest).first(name_bytes));
    widen(local, ByteView(rest).subspan(name_bytes), member.header);
    compare(member, local, fixed);
    return true;
  }

  void compare(const ZipMember& member, const ZipMember& local, ByteView fixed) {
    const bool is_late = (member.flags & kDescriptor) != 0;  // the sizes may stand behind the data
    const auto same = [&](std::uint64_t theirs, std::uint64_t ours) { return theirs == ours || (is_late && theirs == 0); };
    const char* what = local.name != member.name                    ? "name"
                       : number(fixed, 6, 2) != member.flags         ? "flags"
                       : number(fixed, 8, 2) != member.method        ? "compression"
                       : !same(number(fixed, 14, 4), member.crc32)   ? "checksum"
                       : !same(local.bytes, member.bytes)            ? "size"
                       : !same(local.compressed, member.compressed) ? "compressed size"
                                                                     : nullptr;
    if (what != nullptr) tell("zip-differs", "critical", fmt::format("the member's own header has another {} than the directory", what), member.name, member.header);
  }

  // How long the descriptor behind a member's data is, by where the next thing begins.
  static bool is_descriptor(std::uint64_t bytes) { return bytes == 12 || bytes == 16 || bytes == 20 || bytes == 24; }

  void check_layout(const Directory& directory) {
    std::uint64_t at = 0;
    for (std::size_t i = 0; i < members_.size(); ++i) {
      const ZipMember& member = members_[i];
      if (member.header != at) tell(member.header < at ? "zip-overlap" : at == 0 ? "zip-prepended-data" : "zip-gap", "critical", "members do not lie end to end", member.name, std::min(at, member.header));
      at = member.data + member.compressed;
      const std::uint64_t next = i + 1 < members_.size() ? members_[i + 1].header : directory.offset;
      if ((member.flags & kDescriptor) != 0 && next > at && is_descriptor(next - at)) at = next;
    }
    if (at != directory.offset) tell(at > directory.offset ? "zip-overlap" : "zip-gap", "critical", "the directory does not follow the last member", "", std::min(at, directory.offset));
  }

  const RandomAccess& file_;
  const std::function<void(ZipProblem)>& found_;
  std::vector<ZipMember> members_;
  std::size_t told_ = 0;
};

// Whether a directory that begins with an entry, or an empty one, can belong to an end record. Python's reader asks for a zip64 record whatever
// the small one says, and never how many entries there are.
Result<bool> has_directory(const RandomAccess& file, std::uint64_t record, ByteView fixed) {
  const std::uint64_t bytes = number(fixed, 12, 4), offset = number(fixed, 16, 4), count = number(fixed, 10, 2);
  if (record >= 20) {
    Bytes locator(4);
    TRY(file.read_at(record - 20, locator));
    if (text_of(locator) == "PK\x06\x07") return true;
  }
  if (bytes == 0) return count == 0 && offset <= record && record + kEndBytes + number(fixed, 20, 2) == file.size();
  if (bytes > record || bytes < kEntryBytes) return false;
  for (const std::uint64_t start : {record - bytes, offset}) {
    if (start + kEntryBytes > file.size()) continue;
    Bytes magic(4);
    TRY(file.read_at(start, magic));
    if (text_of(magic) == "PK\x01\x02") return true;
  }
  return false;
}

}  // namespace

Result<std::optional<std::uint64_t>> find_zip_end(const RandomAccess& file) {
  Bytes tail(static_cast<std::size_t>(std::min<std::uint64_t>(kTailBytes, file.size())));
  const std::uint64_t start = file.size() - tail.size();
  TRY(file.read_at(start, tail));
  const auto text = text_of(tail);
  for (auto at = text.rfind("PK\x05\x06"); at != text.npos; at = at == 0 ? text.npos : text.rfind("PK\x05\x06", at - 1)) {
    if (tail.size() - at < kEndBytes) continue;
    if (TRY(has_directory(file, start + at, ByteView(tail).subspan(at, kEndBytes)))) return std::optional(start + at);
  }
  return std::optional<std::uint64_t>();
}

Result<std::vector<ZipMember>> read_zip(const RandomAccess& file, const std::function<void(ZipProblem)>& found) { return ZipReader(file, found).run(); }

}  // namespace redoubt::model_scan
