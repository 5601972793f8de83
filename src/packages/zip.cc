// SPDX-License-Identifier: Apache-2.0
#include "packages/zip.h"

#include <libdeflate.h>

#include <algorithm>
#include <memory>

#include "packages/bounded.h"

namespace redoubt::packages {
namespace {

constexpr std::uint64_t kEndSize = 22, kLocatorSize = 20, kEnd64Size = 56, kCentralSize = 46, kLocalSize = 30;
constexpr std::uint32_t kEndMagic = 0x06054b50, kLocatorMagic = 0x07064b50, kEnd64Magic = 0x06064b50, kCentralMagic = 0x02014b50, kLocalMagic = 0x04034b50;
constexpr std::uint64_t kDirectoryMax = 1 << 30, kWorstRatio = 1040;  // deflate makes at most 1032 bytes of one

tl::unexpected<Error> broken_zip(const char* what, const std::string& where) { return fail(ErrorCode::invalid_argument, std::string("a broken zip archive: ") + what, where); }

std::uint64_t get(ByteView bytes, std::uint64_t offset, std::size_t size) { return number_at(bytes, offset, size, ByteOrder::little).value_or(0); }

Result<Bytes> read_part(const RandomAccess& archive, std::uint64_t offset, std::uint64_t length, const std::string& where) {
  if (offset > archive.size() || length > archive.size() - offset) return broken_zip("it points outside of itself", where);
  Bytes bytes(static_cast<std::size_t>(length));
  TRY(archive.read_at(offset, bytes));
  return bytes;
}

struct Directory {
  std::uint64_t entries = 0, size = 0, offset = 0;
  std::uint64_t before = 0;  // bytes of something else that the archive was put behind; no offset counts them
};

Result<Directory> read_end64(const RandomAccess& archive, std::uint64_t end_offset, const std::string& where) {
  if (end_offset < kLocatorSize) return broken_zip("no zip64 locator", where);
  const Bytes locator = TRY(read_part(archive, end_offset - kLocatorSize, kLocatorSize, where));
  if (get(locator, 0, 4) != kLocatorMagic) return broken_zip("no zip64 locator", where);
  const Bytes end = TRY(read_part(archive, get(locator, 8, 8), kEnd64Size, where));
  if (get(end, 0, 4) != kEnd64Magic) return broken_zip("no zip64 end", where);
  return Directory{get(end, 32, 8), get(end, 40, 8), get(end, 48, 8)};
}

// The end record is the last one whose comment reaches exactly to the end of the file.
Result<Directory> find_directory(const RandomAccess& archive, const std::string& where) {
  const std::uint64_t length = std::min<std::uint64_t>(archive.size(), kEndSize + 0xffff), from = archive.size() - length;
  if (length < kEndSize) return broken_zip("too short", where);
  const Bytes tail = TRY(read_part(archive, from, length, where));
  for (std::uint64_t at = length - kEndSize + 1; at-- > 0;) {
    if (get(tail, at, 4) != kEndMagic || at + kEndSize + get(tail, at + 20, 2) != length) continue;
    if (get(tail, at + 4, 2) != get(tail, at + 6, 2)) return fail(ErrorCode::unsupported, "a zip archive in several parts", where);
    Directory directory{get(tail, at + 10, 2), get(tail, at + 12, 4), get(tail, at + 16, 4)};
    if (directory.entries == 0xffff || directory.size == 0xffffffff || directory.offset == 0xffffffff) return read_end64(archive, from + at, where);
    // The directory ends where this record begins, as Java finds it: a jar that starts itself has a script before it.
    if (const std::uint64_t end = directory.offset + directory.size; end < from + at) directory.before = from + at - end;
    return directory;
  }
  return broken_zip("no end record", where);
}

// Replaces the sizes that did not fit by the zip64 extra field's.
Status read_extra(ByteView extra, ZipEntry& entry, const std::string& where) {
  while (extra.size() >= 4) {
    const auto kind = get(extra, 0, 2), size = get(extra, 2, 2);
    const auto data = slice(extra, 4, size);
    if (!data) return broken_zip("an extra field that is cut off", where);
    if (kind == 1) {
      std::uint64_t at = 0;
      for (auto* value : {&entry.size, &entry.compressed_size, &entry.offset}) {
        if (*value != 0xffffffff) continue;
        const auto wide = number_at(*data, at, 8, ByteOrder::little);
        if (!wide) return broken_zip("a zip64 field that is cut off", where);
        *value = *wide;
        at += 8;
      }
    }
    extra = extra.subspan(4 + static_cast<std::size_t>(size));
  }
  return {};
}

Result<ZipEntry> read_central(ByteView& rest, const std::string& where) {
  if (rest.size() < kCentralSize || get(rest, 0, 4) != kCentralMagic) return broken_zip("its directory is cut off", where);
  const auto name_size = get(rest, 28, 2), extra_size = get(rest, 30, 2), comment_size = get(rest, 32, 2);
  const auto name = slice(rest, kCentralSize, name_size), extra = slice(rest, kCentralSize + name_size, extra_size);
  const auto total = kCentralSize + name_size + extra_size + comment_size;
  if (!name || !extra || total > rest.size()) return broken_zip("its directory is cut off", where);
  if ((get(rest, 8, 2) & 1) != 0) return fail(ErrorCode::unsupported, "an encrypted zip archive", where);
  ZipEntry entry{to_text(*name), get(rest, 24, 4), get(rest, 20, 4), get(rest, 42, 4), static_cast<std::uint32_t>(get(rest, 16, 4)), static_cast<std::uint16_t>(get(rest, 10, 2))};
  TRY(read_extra(*extra, entry, where));
  rest = rest.subspan(static_cast<std::size_t>(total));
  return entry;
}

struct FreeDecompressor {
  void operator()(libdeflate_decompressor* one) const { libdeflate_free_decompressor(one); }
};
using Decompressor = std::unique_ptr<libdeflate_decompressor, FreeDecompressor>;

// One a thread: making it costs more than most entries.
libdeflate_decompressor* decompressor() {
  thread_local const Decompressor one(libdeflate_alloc_decompressor());
  return one.get();
}

}  // namespace

Result<std::vector<ZipEntry>> list_zip(const RandomAccess& archive, const std::string& where, std::size_t entries_max) {
  const Directory directory = TRY(find_directory(archive, where));
  if (directory.size > kDirectoryMax || directory.entries > entries_max) return fail(ErrorCode::limit_exceeded, "a zip archive of too many entries", where);
  const Bytes bytes = TRY(read_part(archive, directory.offset + directory.before, directory.size, where));
  if (directory.entries > bytes.size() / kCentralSize) return broken_zip("its directory is cut off", where);
  std::vector<ZipEntry> entries;
  entries.reserve(static_cast<std::size_t>(directory.entries));
  ByteView rest = bytes;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    entries.push_back(TRY(read_central(rest, where)));
    auto& offset = entries.back().offset;
    if (offset > archive.size()) return broken_zip("it points outside of itself", where);
    offset += directory.before;
  }
  return entries;
}

Result<std::string> read_zip_entry(const RandomAccess& archive, const ZipEntry& entry, std::uint64_t bytes_max, const std::string& where) {
  const std::string place = where + ":" + entry.name;
  if (entry.size > bytes_max) return fail(ErrorCode::limit_exceeded, "an entry of an archive that is too large", place);
  if (entry.size / kWorstRatio > entry.compressed_size) return broken_zip("a size that its bytes can't give", place);
  const Bytes local = TRY(read_part(archive, entry.offset, kLocalSize + entry.name.size(), place));
  if (get(local, 0, 4) != kLocalMagic || get(local, 26, 2) != entry.name.size() || text_of(ByteView(local).subspan(kLocalSize)) != entry.name || get(local, 8, 2) != entry.method) {
    return broken_zip("an entry that is not what the directory says", place);
  }
  const std::uint64_t offset = entry.offset + kLocalSize + entry.name.size() + get(local, 28, 2);
  const Bytes packed = TRY(read_part(archive, offset, entry.compressed_size, place));
  std::string out(static_cast<std::size_t>(entry.size), '\0');
  if (entry.method == 0) {
    if (entry.size != entry.compressed_size) return broken_zip("a stored entry of two sizes", place);
    std::copy(packed.begin(), packed.end(), out.begin());
  } else if (entry.method == 8) {
    if (libdeflate_deflate_decompress(decompressor(), packed.data(), packed.size(), out.data(), out.size(), nullptr) != LIBDEFLATE_SUCCESS) return broken_zip("an entry that can't be unpacked", place);
  } else {
    return fail(ErrorCode::unsupported, "a zip entry that is neither stored nor deflated", place);
  }
  if (libdeflate_crc32(0, out.data(), out.size()) != entry.crc) return broken_zip("an entry whose checksum is wrong", place);
  return out;
}

Result<std::string> inflate_zlib(ByteView compressed, std::size_t bytes_max, const std::string& where) {
  for (std::size_t size = std::min(std::max<std::size_t>(4 * compressed.size(), 4096), bytes_max);; size = std::min(4 * size, bytes_max)) {
    std::string out(size, '\0');
    std::size_t used = 0;
    const auto result = libdeflate_zlib_decompress(decompressor(), compressed.data(), compressed.size(), out.data(), out.size(), &used);
    if (result == LIBDEFLATE_SUCCESS) {
      out.resize(used);
      return out;
    }
    if (result != LIBDEFLATE_INSUFFICIENT_SPACE) return fail(ErrorCode::invalid_argument, "compressed data that can't be unpacked", where);
    if (size == bytes_max) return fail(ErrorCode::limit_exceeded, "compressed data that is too large", where);
  }
}

Status ViewObject::read_at(std::uint64_t offset, MutableByteView into) const {
  const auto part = slice(bytes_, offset, into.size());
  if (!part) return fail(ErrorCode::invalid_argument, "a read beyond the end");
  std::copy(part->begin(), part->end(), into.begin());
  return {};
}

}  // namespace redoubt::packages
