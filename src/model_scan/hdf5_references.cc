// SPDX-License-Identifier: Apache-2.0
#include "model_scan/hdf5_references.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "model_scan/byte_reader.h"

namespace redoubt::model_scan {
namespace {

constexpr std::string_view kSuperblock = "\x89HDF\r\n\x1a\n";
constexpr std::size_t kStep = 32 << 10, kOverlap = 32, kPlacesMax = 100'000;
constexpr std::uint64_t kAddressBytes = 8;

std::uint64_t number_at(std::string_view bytes, std::size_t at, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = count; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// A link message of the type "external": version, flags, type, perhaps the order of creation and the letters' kind, the name with its
// length, then the length of what follows, a version, the file's name and the object's.
bool is_external_link(std::string_view bytes) {
  constexpr unsigned kHasOrder = 0x04, kHasType = 0x08, kHasLetters = 0x10, kReserved = 0xe0;
  const auto flags = static_cast<unsigned char>(bytes[1]);
  if (bytes[0] != 1 || bytes[2] != 0x40 || (flags & kHasType) == 0 || (flags & kReserved) != 0) return false;
  std::size_t at = 3 + ((flags & kHasOrder) != 0 ? 8 : 0) + ((flags & kHasLetters) != 0 ? 1 : 0);
  const std::size_t length_bytes = std::size_t{1} << (flags & 3);
  if (bytes.size() < at + length_bytes) return false;
  const std::uint64_t name_bytes = number_at(bytes, at, length_bytes);
  at += length_bytes;
  if (name_bytes == 0 || name_bytes > bytes.size() || bytes.size() - name_bytes < at + 3) return false;
  at += static_cast<std::size_t>(name_bytes);
  const std::size_t rest = number_at(bytes, at, 2);
  if (rest < 5 || bytes.size() < at + 2 + rest || bytes[at + 2] != 0) return false;
  const auto names = bytes.substr(at + 3, rest - 1);
  const auto end = names.find('\0');
  return end != 0 && end != names.npos && end + 2 < names.size() && names.find('\0', end + 1) == names.size() - 1;
}

}  // namespace

Result<std::optional<std::uint64_t>> find_superblock(const RandomAccess& object) {
  for (std::uint64_t at = 0; at + kSuperblock.size() + 16 <= object.size(); at = at == 0 ? 512 : at * 2) {
    Bytes magic(kSuperblock.size());
    TRY(object.read_at(at, magic));
    if (text_of(magic) == kSuperblock) return std::optional(at);
  }
  return std::optional<std::uint64_t>();
}

namespace {

// Messages that name a heap count where that heap is one: collected in one pass, and compared at its end.
class ReferenceSearch {
 public:
  explicit ReferenceSearch(const RandomAccess& object) : object_(object) {}

  Result<std::optional<Hdf5Reference>> run() {
    const auto base = TRY(find_superblock(object_));
    if (!base) return std::optional<Hdf5Reference>();
    if (TRY(address_bytes(*base)) != kAddressBytes) return std::optional(Hdf5Reference{"its addresses are not of eight bytes, so that they are not followed", *base});
    ByteReader reader(object_);
    while (reader.left() > 0) {
      const auto ahead = static_cast<std::size_t>(std::min<std::uint64_t>(ByteReader::kAheadMax, reader.left()));
      if (reader.peek(ahead) == nullptr) return reader.error() ? Result<std::optional<Hdf5Reference>>(fail(*reader.error())) : std::optional<Hdf5Reference>();
      if (const auto link = look_at(reader.at_hand(reader.offset(), ahead), reader.offset())) return std::optional(Hdf5Reference{"a link to another file", *link});
      reader.advance(std::min(ahead, ahead > kStep ? kStep - kOverlap : ahead));
    }
    return compare(*base);
  }

 private:
  Result<std::uint64_t> address_bytes(std::uint64_t base) const {
    Bytes head(16);
    TRY(object_.read_at(base, head));
    return head[8] < 2 ? head[13] : head[9];
  }

  // Notes heaps and what could name one in the first kStep bytes; answers where an external link stands.
  std::optional<std::uint64_t> look_at(std::string_view bytes, std::uint64_t offset) {
    const std::size_t count = std::min(bytes.size(), kStep);
    for (auto at = bytes.find('\x40'); at < count; at = bytes.find('\x40', at + 1)) {
      if (at >= 2 && is_external_link(bytes.substr(at - 2))) return offset + at - 2;
    }
    for (const std::string_view heap : {"HEAP", "GCOL"}) {
      for (auto at = bytes.find(heap); at < count; at = bytes.find(heap, at + 1)) keep(heap == "HEAP" ? local_heaps_ : global_heaps_, offset + at);
    }
    // External data files: version 1, then how many slots there are and are used, and the heap of their names.
    for (auto at = bytes.find(std::string_view("\x01\0\0\0", 4)); at < count && at + 16 <= bytes.size(); at = bytes.find(std::string_view("\x01\0\0\0", 4), at + 1)) {
      const auto slots = number_at(bytes, at + 4, 2), used = number_at(bytes, at + 6, 2);
      if (used > 0 && used <= slots) keep(external_, number_at(bytes, at + 8, 8), offset + at);
    }
    // Data layout of version 4 or later, class 3: a virtual dataset, with the heap of its sources.
    for (const std::string_view layout : {"\x04\x03", "\x05\x03"}) {
      for (auto at = bytes.find(layout); at < count && at + 14 <= bytes.size(); at = bytes.find(layout, at + 1)) {
        const auto index = number_at(bytes, at + 10, 4);
        if (index > 0 && index < 0x10000) keep(virtual_, number_at(bytes, at + 2, 8), offset + at);
      }
    }
    return std::nullopt;
  }

  void keep(std::set<std::uint64_t>& heaps, std::uint64_t at) {
    if (heaps.size() < kPlacesMax) heaps.insert(at);
    else has_too_many_ = true;
  }
  void keep(std::map<std::uint64_t, std::uint64_t>& references, std::uint64_t heap, std::uint64_t at) {
    if (heap >= object_.size() || references.contains(heap)) return;
    if (references.size() < kPlacesMax) references[heap] = at;
    else has_too_many_ = true;
  }

  std::optional<Hdf5Reference> compare(std::uint64_t base) const {
    if (has_too_many_) return Hdf5Reference{"more heaps, or what could name one, than any model has", base};
    for (const auto& [heap, at] : external_) {
      if (local_heaps_.contains(base + heap)) return Hdf5Reference{"a dataset whose bytes lie in another file", at};
    }
    for (const auto& [heap, at] : virtual_) {
      if (global_heaps_.contains(base + heap)) return Hdf5Reference{"a dataset that is put together of other files", at};
    }
    return std::nullopt;
  }

  const RandomAccess& object_;
  std::set<std::uint64_t> local_heaps_, global_heaps_;
  std::map<std::uint64_t, std::uint64_t> external_, virtual_;  // where they stand, by the heap that they name
  bool has_too_many_ = false;
};

}  // namespace

Result<std::optional<Hdf5Reference>> find_hdf5_reference(const RandomAccess& object) { return ReferenceSearch(object).run(); }

}  // namespace redoubt::model_scan
