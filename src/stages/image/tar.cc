// SPDX-License-Identifier: Apache-2.0
#include "stages/image/tar.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

namespace redoubt::stages::image {
namespace {

constexpr std::size_t kBlock = 512;

// The header's fields, all text. Sizes up to 8 GiB fit the eleven octal digits.
Result<Bytes> header_of(const TarEntry& entry, std::uint64_t size) {
  const bool folder = entry.path.ends_with('/');
  if (entry.path.size() > 100) return fail(ErrorCode::invalid_argument, "a path of more than 100 bytes", entry.path);
  if (size >= 1ull << 33) return fail(ErrorCode::limit_exceeded, "a file of 8 GiB or more", entry.path);
  Bytes header(kBlock);
  const auto put = [&header](std::size_t at, std::string_view text) { std::copy(text.begin(), text.end(), header.begin() + static_cast<std::ptrdiff_t>(at)); };
  put(0, entry.path);
  put(100, fmt::format("{:07o}", entry.mode));
  put(108, "0000000");
  put(116, "0000000");
  put(124, fmt::format("{:011o}", size));
  put(136, "00000000000");  // 1970-01-01
  put(148, "        ");
  put(156, folder ? "5" : "0");
  put(257, std::string_view("ustar\00000", 8));
  put(265, "root");
  put(297, "root");
  unsigned sum = 0;
  for (auto byte : header) sum += byte;
  put(148, fmt::format("{:06o}", sum));
  header[154] = 0;
  return header;
}

}  // namespace

Result<std::unique_ptr<TarSource>> TarSource::create(std::vector<TarEntry> entries) {
  std::map<std::string, TarEntry> sorted;
  for (auto& entry : entries) {
    std::string bare = entry.path;
    if (bare.ends_with('/')) bare.pop_back();
    if (!is_safe_relative_path(bare)) return fail(ErrorCode::invalid_argument, "an unsafe path in an image", entry.path);
    for (auto slash = bare.find('/'); slash != bare.npos; slash = bare.find('/', slash + 1)) {
      const std::string parent = bare.substr(0, slash + 1);
      sorted.try_emplace(parent, TarEntry{parent, 0755, {}, {}});
    }
    const bool folder = entry.path.ends_with('/');
    const auto [at, is_new] = sorted.try_emplace(entry.path, entry);
    if (!is_new && !folder) return fail(ErrorCode::invalid_argument, "a path stands twice in an image", entry.path);
    if (!is_new) at->second.mode = entry.mode;
  }
  std::vector<TarEntry> all;
  for (auto& [path, entry] : sorted) all.push_back(std::move(entry));
  return std::unique_ptr<TarSource>(new TarSource(std::move(all)));
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
    file_ = TRY(FileReader::open(entry.file));
    size = file_left_ = file_->size();
  }
  pending_ = TRY(header_of(entry, size));
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

}  // namespace redoubt::stages::image
