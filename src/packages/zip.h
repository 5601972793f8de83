// SPDX-License-Identifier: Apache-2.0
//
// Zip archives by their central directory (APPNOTE 6.3, with zip64): entries can be read in any order, from several threads. Whatever the
// two places that describe an entry disagree about is refused.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/stream.h"

namespace redoubt::packages {

struct ZipEntry {
  std::string name;
  std::uint64_t size = 0, compressed_size = 0, offset = 0;  // offset: of the local header
  std::uint32_t crc = 0;
  std::uint16_t method = 0;  // 0 stored, 8 deflated
  bool is_folder() const { return name.ends_with('/'); }
};

inline constexpr std::size_t kZipEntriesMax = 2'000'000;

// invalid_argument for what is no zip or a broken one, unsupported for an encrypted or split one, limit_exceeded.
Result<std::vector<ZipEntry>> list_zip(const RandomAccess& archive, const std::string& where, std::size_t entries_max = kZipEntriesMax);
// The contents, checked against the entry's CRC-32; limit_exceeded where they are longer than `bytes_max`.
Result<std::string> read_zip_entry(const RandomAccess& archive, const ZipEntry& entry, std::uint64_t bytes_max, const std::string& where);

// A whole zlib stream (RFC 1950).
Result<std::string> inflate_zlib(ByteView compressed, std::size_t bytes_max, const std::string& where);

// Random access over bytes that outlive it.
class ViewObject final : public RandomAccess {
 public:
  explicit ViewObject(ByteView bytes) : bytes_(bytes) {}
  std::uint64_t size() const override { return bytes_.size(); }
  Status read_at(std::uint64_t offset, MutableByteView into) const override;

 private:
  ByteView bytes_;
};

}  // namespace redoubt::packages
