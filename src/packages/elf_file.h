// SPDX-License-Identifier: Apache-2.0
//
// Sections and loaded segments of an ELF file of either width and byte order, bounded by the file.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "packages/bounded.h"

namespace redoubt::packages {

class ElfFile {
 public:
  static bool is_elf(ByteView bytes) { return bytes.size() >= 20 && text_of(bytes.first(4)) == "\x7f" "ELF"; }
  // invalid_argument for tables that lie outside of the file.
  static Result<ElfFile> parse(ByteView bytes, const std::string& where);

  // Nothing where there is no such section; an empty one has no bytes in the file either.
  std::optional<ByteView> section(const std::string& name) const;
  // What the memory at `address` is filled with when the program is loaded.
  std::optional<ByteView> at_address(std::uint64_t address, std::uint64_t length) const;
  // The first segment that may be written, as far as the file has it.
  std::optional<ByteView> data() const;

 private:
  struct Part {
    std::uint64_t address = 0, offset = 0, size = 0;
    bool writable = false;
  };
  explicit ElfFile(ByteView bytes) : bytes_(bytes) {}
  std::optional<std::uint64_t> number(std::uint64_t at, std::size_t size) const { return number_at(bytes_, at, size, order_); }
  std::optional<std::uint64_t> word(std::uint64_t at) const { return number(at, wide_ ? 8 : 4); }
  Status read_segments(const std::string& where);
  Status read_sections(const std::string& where);

  ByteView bytes_;
  ByteOrder order_ = ByteOrder::little;
  bool wide_ = true;
  std::vector<Part> segments_;
  std::map<std::string, Part> sections_;
};

}  // namespace redoubt::packages
