// SPDX-License-Identifier: Apache-2.0
#include "packages/elf_file.h"

#include <algorithm>

namespace redoubt::packages {
namespace {

constexpr std::uint64_t kSectionsMax = 100'000;
constexpr std::uint32_t kLoad = 1, kNoBits = 8;

tl::unexpected<Error> broken_elf(const std::string& where) { return fail(ErrorCode::invalid_argument, "an ELF file whose tables lie outside of it", where); }

}  // namespace

Result<ElfFile> ElfFile::parse(ByteView bytes, const std::string& where) {
  ElfFile file(bytes);
  if (!is_elf(bytes) || bytes[4] < 1 || bytes[4] > 2 || bytes[5] < 1 || bytes[5] > 2) return fail(ErrorCode::unsupported, "no ELF file", where);
  file.wide_ = bytes[4] == 2;
  file.order_ = bytes[5] == 1 ? ByteOrder::little : ByteOrder::big;
  TRY(file.read_segments(where));
  TRY(file.read_sections(where));
  return file;
}

Status ElfFile::read_segments(const std::string& where) {
  const auto table = word(wide_ ? 32 : 28), size = number(wide_ ? 54 : 42, 2), count = number(wide_ ? 56 : 44, 2);
  if (!table || !size || !count) return broken_elf(where);
  if (*count > 0 && (*size < (wide_ ? 56u : 32u) || !slice(bytes_, *table, *size * *count))) return broken_elf(where);
  for (std::uint64_t i = 0; i < *count; ++i) {
    const std::uint64_t at = *table + i * *size;
    if (*number(at, 4) != kLoad) continue;
    Part part{*word(at + (wide_ ? 16 : 8)), *word(at + (wide_ ? 8 : 4)), *word(at + (wide_ ? 32 : 16)), (*number(at + (wide_ ? 4 : 24), 4) & 2) != 0};
    segments_.push_back(part);
  }
  return {};
}

Status ElfFile::read_sections(const std::string& where) {
  const auto table = word(wide_ ? 40 : 32), size = number(wide_ ? 58 : 46, 2), names_index = number(wide_ ? 62 : 50, 2);
  auto count = number(wide_ ? 60 : 48, 2);
  if (!table || !size || !names_index || !count) return broken_elf(where);
  if (*table == 0) return {};  // stripped of its sections
  if (*size < (wide_ ? 64u : 40u) || !slice(bytes_, *table, *size)) return broken_elf(where);
  // More than fit into 16 bits: the first section's size and link have the numbers.
  if (*count == 0) count = *word(*table + (wide_ ? 32 : 20));
  const std::uint64_t names = *names_index == 0xffff ? *number(*table + (wide_ ? 40 : 24), 4) : *names_index;
  if (*count > kSectionsMax || names >= *count || !slice(bytes_, *table, *size * *count)) return broken_elf(where);
  const auto part_of = [&](std::uint64_t at) { return Part{*word(at + (wide_ ? 16 : 12)), *word(at + (wide_ ? 24 : 16)), *word(at + (wide_ ? 32 : 20))}; };
  const Part strings = part_of(*table + names * *size);
  const auto text = slice(bytes_, strings.offset, strings.size);
  if (!text) return broken_elf(where);
  for (std::uint64_t i = 0; i < *count; ++i) {
    const std::uint64_t at = *table + i * *size, name = *number(at, 4);
    if (name >= text->size() || *number(at + 4, 4) == kNoBits) continue;
    const auto rest = text_of(text->subspan(static_cast<std::size_t>(name)));
    sections_.emplace(rest.substr(0, rest.find('\0')), part_of(at));
  }
  return {};
}

std::optional<ByteView> ElfFile::section(const std::string& name) const {
  const auto found = sections_.find(name);
  return found == sections_.end() ? std::nullopt : slice(bytes_, found->second.offset, found->second.size);
}

std::optional<ByteView> ElfFile::at_address(std::uint64_t address, std::uint64_t length) const {
  for (const auto& part : segments_) {
    if (address < part.address || address - part.address > part.size || length > part.size - (address - part.address)) continue;
    const std::uint64_t within = address - part.address;
    if (part.offset > bytes_.size() || within > bytes_.size() - part.offset) return std::nullopt;
    return slice(bytes_, part.offset + within, length);
  }
  return std::nullopt;
}

std::optional<ByteView> ElfFile::data() const {
  for (const auto& part : segments_) {
    if (!part.writable || part.offset > bytes_.size()) continue;
    return slice(bytes_, part.offset, std::min<std::uint64_t>(part.size, bytes_.size() - part.offset));
  }
  return std::nullopt;
}

}  // namespace redoubt::packages
