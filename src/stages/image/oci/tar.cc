// SPDX-License-Identifier: Apache-2.0
#include "stages/image/oci/tar.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace redoubt::stages::image::oci {
namespace {

constexpr std::size_t kBlock = 512, kNameBytes = 100, kPrefixBytes = 155;
constexpr std::size_t kPathBytesMax = 4000;
constexpr std::uint64_t kOctalSizeEnd = 1ull << 33;  // eleven octal digits
constexpr unsigned kOctalIdEnd = 1u << 21;           // seven

// The fields of one header block, all text.
struct Header {
  std::string name, prefix, link;
  unsigned mode = 0, uid = 0, gid = 0;
  std::uint64_t size = 0, seconds = 0;
  char type = '0';
};

Bytes block_of(const Header& fields) {
  Bytes header(kBlock);
  const auto put = [&header](std::size_t at, std::string_view text) { std::copy(text.begin(), text.end(), header.begin() + static_cast<std::ptrdiff_t>(at)); };
  put(0, fields.name);
  put(100, fmt::format("{:07o}", fields.mode));
  put(108, fmt::format("{:07o}", fields.uid < kOctalIdEnd ? fields.uid : 0));
  put(116, fmt::format("{:07o}", fields.gid < kOctalIdEnd ? fields.gid : 0));
  put(124, fmt::format("{:011o}", fields.size < kOctalSizeEnd ? fields.size : 0));
  put(136, fmt::format("{:011o}", fields.seconds));
  put(148, "        ");
  put(156, std::string_view(&fields.type, 1));
  put(157, fields.link);
  put(257, std::string_view("ustar\00000", 8));
  if (fields.uid == 0) put(265, "root");
  if (fields.gid == 0) put(297, "root");
  put(345, fields.prefix);
  unsigned sum = 0;
  for (auto byte : header) sum += byte;
  put(148, fmt::format("{:06o}", sum));
  header[154] = 0;
  return header;
}

// "LENGTH KEY=VALUE\n", where LENGTH counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) ++length;
  return fmt::format("{} {}={}\n", length, key, value);
}

// Splits a path at a '/' so that both parts fit; false where none does.
bool split_path(const std::string& path, Header& into) {
  if (path.size() <= kNameBytes) {
    into.name = path;
    return true;
  }
  const auto slash = path.rfind('/', std::min(kPrefixBytes, path.size() - 2));
  if (slash == path.npos || slash == 0 || path.size() - slash - 1 > kNameBytes) return false;
  into.prefix = path.substr(0, slash);
  into.name = path.substr(slash + 1);
  return true;
}

// The header, with a pax header before it where a field does not fit.
Result<Bytes> header_of(const TarEntry& entry, std::uint64_t size, std::uint64_t seconds) {
  if (entry.path.size() > kPathBytesMax || entry.link.size() > kPathBytesMax) return fail(ErrorCode::invalid_argument, "a path of more than 4000 bytes", entry.path.substr(0, 200));
  Header header;
  header.mode = entry.mode & 07777;
  header.uid = entry.uid;
  header.gid = entry.gid;
  header.size = size;
  header.seconds = seconds;
  header.type = entry.path.ends_with('/') ? '5' : entry.link.empty() ? '0' : '2';
  std::string records;
  if (!split_path(entry.path, header)) {
    records += pax_record("path", entry.path);
    header.name = entry.path.substr(0, kNameBytes);
  }
  header.link = entry.link.substr(0, kNameBytes);
  if (entry.link.size() > kNameBytes) records += pax_record("linkpath", entry.link);
  if (size >= kOctalSizeEnd) records += pax_record("size", std::to_string(size));
  if (entry.uid >= kOctalIdEnd) records += pax_record("uid", std::to_string(entry.uid));
  if (entry.gid >= kOctalIdEnd) records += pax_record("gid", std::to_string(entry.gid));
  Bytes out;
  if (!records.empty()) {
    Header extended;
    extended.name = "PaxHeaders.0/entry";
    extended.mode = 0644;
    extended.size = records.size();
    extended.seconds = seconds;
    extended.type = 'x';
    out = block_of(extended);
    out.insert(out.end(), records.begin(), records.end());
    out.resize((out.size() + kBlock - 1) / kBlock * kBlock);
  }
  const Bytes block = block_of(header);
  out.insert(out.end(), block.begin(), block.end());
  return out;
}

// A backslash is a letter like any other in an image: names of systemd's units have it.
bool is_safe_tar_path(std::string path) {
  std::replace(path.begin(), path.end(), '\\', '_');
  return is_safe_relative_path(path);
}

}  // namespace

Result<std::unique_ptr<TarSource>> TarSource::create(std::vector<TarEntry> entries, Parents parents, std::uint64_t seconds) {
  std::map<std::string, TarEntry> sorted;
  for (auto& entry : entries) {
    std::string bare = entry.path;
    if (bare.ends_with('/')) bare.pop_back();
    if (!is_safe_tar_path(bare)) return fail(ErrorCode::invalid_argument, "an unsafe path in an image", entry.path);
    for (auto slash = bare.find('/'); parents == Parents::add && slash != bare.npos; slash = bare.find('/', slash + 1)) {
      const std::string parent = bare.substr(0, slash + 1);
      sorted.try_emplace(parent, TarEntry{parent, 0755, {}});
    }
    const bool folder = entry.path.ends_with('/');
    const auto [at, is_new] = sorted.try_emplace(entry.path, entry);
    if (!is_new && !folder) return fail(ErrorCode::invalid_argument, "a path stands twice in an image", entry.path);
    if (!is_new) at->second = entry;
  }
  std::vector<TarEntry> all;
  for (auto& [path, entry] : sorted) all.push_back(std::move(entry));
  return std::unique_ptr<TarSource>(new TarSource(std::move(all), seconds));
}

Status TarSource::next_entry() {
  pending_.clear();
  pending_at_ = 0;
  if (next_ == entries_.size()) {
    pending_.assign(2 * kBlock, 0);
    ended_ = true;
    return {};
  }
  const TarEntry& entry = entries_[next_++];
  std::uint64_t size = entry.contents.size();
  if (!entry.file.empty()) {
    file_ = TRY(FileReader::open_regular(entry.file));
    size = file_left_ = file_->size();
  }
  pending_ = TRY(header_of(entry, size, seconds_));
  padding_ = (kBlock - size % kBlock) % kBlock;
  pending_.insert(pending_.end(), entry.contents.begin(), entry.contents.end());
  if (entry.file.empty()) {
    pending_.resize(pending_.size() + static_cast<std::size_t>(padding_));
    padding_ = 0;
  }
  return {};
}

Result<std::size_t> TarSource::read(MutableByteView into) {
  while (true) {
    if (pending_at_ < pending_.size()) {
      const std::size_t count = std::min(into.size(), pending_.size() - pending_at_);
      std::copy_n(pending_.begin() + static_cast<std::ptrdiff_t>(pending_at_), count, into.begin());
      pending_at_ += count;
      return count;
    }
    if (file_left_ > 0) {
      const std::size_t count = TRY(file_->read(into.first(static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), file_left_)))));
      if (count == 0) return fail(ErrorCode::unavailable, "a file became shorter while the image was built", entries_[next_ - 1].file.string());
      file_left_ -= count;
      return count;
    }
    if (padding_ > 0) {
      pending_.assign(static_cast<std::size_t>(std::exchange(padding_, 0)), 0);
      pending_at_ = 0;
      continue;
    }
    if (ended_) return std::size_t{0};
    TRY(next_entry());
  }
}

}  // namespace redoubt::stages::image::oci
