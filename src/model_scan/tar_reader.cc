// SPDX-License-Identifier: Apache-2.0
#include "model_scan/tar_reader.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace redoubt::model_scan {
namespace {

constexpr std::size_t kBlock = 512;
constexpr std::uint64_t kLongNameMax = 64 << 10;
constexpr std::size_t kTarMembersMax = 200'000;

std::optional<std::uint64_t> octal(ByteView field) {
  std::string_view text = text_of(field);
  while (!text.empty() && (text.front() == ' ')) text.remove_prefix(1);
  text = text.substr(0, std::min(text.find('\0'), text.find(' ')));
  std::uint64_t value = 0;
  const auto [rest, problem] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (problem != std::errc() || rest != text.data() + text.size()) return std::nullopt;
  return value;
}

// A checksum in whatever form a reader takes it: Python's takes signs, "0o17", "1_7" and binary numbers too.
std::int64_t any_number(ByteView field) {
  constexpr std::uint8_t kBinary = 0x80, kBinaryBelowZero = 0xff;
  std::int64_t value = field[0] == kBinaryBelowZero ? -1 : 0;
  if (field[0] == kBinary || field[0] == kBinaryBelowZero) {
    for (const std::uint8_t byte : field.subspan(1)) value = value * 256 + byte;
    return value;
  }
  const std::string_view text = text_of(field);
  for (const char c : text.substr(0, text.find('\0'))) {
    if (c >= '0' && c <= '7') value = value * 8 + (c - '0');
  }
  return text.find('-') == text.npos ? value : -value;
}

std::int64_t sum_of(ByteView block, bool is_signed) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) sum += i >= 148 && i < 156 ? ' ' : is_signed ? static_cast<std::int8_t>(block[i]) : block[i];
  return sum;
}

bool has_checksum(ByteView block) {
  const auto stored = octal(block.subspan(148, 8));
  return stored && static_cast<std::int64_t>(*stored) == sum_of(block, false);
}

bool may_be_number(ByteView field) {
  const auto text = text_of(field);
  return field[0] >= 0x80 || text.substr(0, text.find('\0')).find_first_not_of("01234567 +-_oO\t\n\v\f\r\x1c\x1d\x1e\x1f") == text.npos;
}

// Whether any reader takes the block for a header; old programs have summed bytes with a sign.
bool may_be_header(ByteView block) {
  for (const auto& [offset, bytes] : {std::pair(100, 8), std::pair(108, 8), std::pair(116, 8), std::pair(124, 12), std::pair(136, 12), std::pair(148, 8)}) {
    if (!may_be_number(block.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(bytes)))) return false;
  }
  const std::int64_t stored = any_number(block.subspan(148, 8));
  return stored == sum_of(block, false) || stored == sum_of(block, true);
}

std::string name_of(ByteView field) {
  const auto text = text_of(field);
  return std::string(text.substr(0, text.find('\0')));
}

// A pax header: lines of "LENGTH KEY=VALUE\n". What it says of the name is taken; what would make another file of a member's bytes is not followed.
struct PaxHeader {
  std::optional<std::string> path;
  const char* problem = nullptr;
};

PaxHeader read_pax(std::string_view text) {
  PaxHeader header;
  while (!text.empty() && text[0] != '\0') {
    std::size_t length = 0;
    const auto [rest, problem] = std::from_chars(text.data(), text.data() + text.size(), length);
    const auto digits = static_cast<std::size_t>(rest - text.data());
    if (problem != std::errc() || length <= digits + 1 || length > text.size()) return {{}, "an extended header is broken"};
    const auto line = text.substr(digits + 1, length - digits - 2);
    if (line.starts_with("size=")) return {{}, "a size in an extended header is not followed"};
    if (line.starts_with("GNU.sparse.")) return {{}, "a sparse member is not followed"};
    if (line.starts_with("path=")) header.path = std::string(line.substr(5));
    text.remove_prefix(length);
  }
  return header;
}

class TarReader {
 public:
  TarReader(const RandomAccess& file, const std::function<Status(const TarMember&)>& member) : file_(file), member_(member) {}

  Result<TarEnd> run() {
    for (std::size_t count = 0;; ++count) {
      if (count > kTarMembersMax) return stop("more members than any model needs");
      if (file_.size() - at_ < kBlock) return stop("the archive ends without its closing blocks");
      Bytes block(kBlock);
      TRY(file_.read_at(at_, block));
      if (std::all_of(block.begin(), block.end(), [](std::uint8_t byte) { return byte == 0; })) return TRY(check_rest());
      const auto problem = TRY(read_member(block));
      if (!problem.empty()) return stop(problem);
    }
  }

 private:
  TarEnd stop(std::string problem) const { return {false, std::move(problem), at_}; }

  Result<TarEnd> check_rest() {
    Bytes chunk(64 << 10);
    while (at_ < file_.size()) {
      const auto part = MutableByteView(chunk).first(static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), file_.size() - at_)));
      TRY(file_.read_at(at_, part));
      const auto other = std::find_if(part.begin(), part.end(), [](std::uint8_t byte) { return byte != 0; });
      if (other != part.end()) return TarEnd{false, "bytes stand behind the archive's end", at_ + static_cast<std::uint64_t>(other - part.begin())};
      at_ += part.size();
    }
    return TarEnd{true};
  }

  // What is wrong, or nothing.
  Result<std::string> read_member(ByteView block) {
    const auto size = octal(block.subspan(124, 12));
    if (!has_checksum(block) || !size) return std::string("a header is broken");
    TarMember found{name_of(block.first(100)), at_ + kBlock, *size, at_, static_cast<char>(block[156])};
    if (found.type == '\0' || found.type == '7') found.type = '0';
    if (block[345] != 0 && found.type != 'L' && found.type != 'K') found.name = name_of(block.subspan(345, 155)) + "/" + found.name;
    const std::uint64_t padded = (*size + kBlock - 1) / kBlock * kBlock;
    if (*size > file_.size() || padded > file_.size() - found.data) return std::string("a member is cut off");
    if (found.type == 'L' || found.type == 'x' || found.type == 'g') {
      if (*size > kLongNameMax) return std::string("a name is too long");
      Bytes text(static_cast<std::size_t>(*size));
      TRY(file_.read_at(found.data, text));
      if (found.type == 'L') long_name_ = name_of(text);
      if (found.type == 'x' || found.type == 'g') {
        auto header = read_pax(text_of(text));
        if (header.problem != nullptr) return std::string(header.problem);
        if (header.path && found.type == 'g') return std::string("one name for all members is not followed");
        if (header.path) long_name_ = std::move(header.path);
      }
    } else {
      // Some readers look for the next header behind a folder's own, whatever size it has.
      if (found.type == '5' && *size != 0) return std::string("a folder with contents");
      if (long_name_) found.name = *std::exchange(long_name_, std::nullopt);
      TRY(member_(found));
    }
    at_ = found.data + padded;
    return std::string();
  }

  const RandomAccess& file_;
  const std::function<Status(const TarMember&)>& member_;
  std::uint64_t at_ = 0;
  std::optional<std::string> long_name_;
};

}  // namespace

bool is_tar(ByteView start) { return start.size() >= kBlock && start[0] != 0 && may_be_header(start.first(kBlock)); }

Result<TarEnd> read_tar(const RandomAccess& file, const std::function<Status(const TarMember&)>& member) { return TarReader(file, member).run(); }

}  // namespace redoubt::model_scan
