// SPDX-License-Identifier: Apache-2.0
//
// Berkeley DB's hash format as RPM before 4.16 used it: pages of items; long items lie in chains of overflow pages. Numbers are in the order
// of the machine that wrote them.
#include "packages/bounded.h"
#include "packages/records.h"
#include "packages/rpm_form.h"
#include "packages/rpm_header.h"

namespace redoubt::packages {
namespace {

constexpr std::uint64_t kHashMagic = 0x00061561, kPageHead = 26;
constexpr std::uint8_t kUnsortedHash = 2, kOverflow = 7, kSortedHash = 13, kInline = 1, kOffPage = 3;

class Database {
 public:
  static Result<Database> open(ByteView bytes, const std::string& place) {
    Database database(bytes, place);
    if (little32(bytes, 12) == kHashMagic) {
      database.order_ = ByteOrder::little;
    } else if (big32(bytes, 12) == kHashMagic) {
      database.order_ = ByteOrder::big;
    } else {
      return broken_rpm_database("no Berkeley DB hash", place);
    }
    const auto size = database.number(bytes, 20, 4), last = database.number(bytes, 32, 4);
    if (!size || !last || *size < 512 || *size > 65536 || (*size & (*size - 1)) != 0) return broken_rpm_database("a page size that can't be", place);
    if (bytes.size() < 72 || bytes[24] != 0) return broken_rpm_database("it is encrypted", place);
    database.page_size_ = *size;
    database.pages_ = *last + 1;
    if (!slice(bytes, 0, database.pages_ * *size)) return broken_rpm_database("its last pages are missing", place);
    return database;
  }

  Result<Packages> read(const Distribution& distribution) const {
    Packages packages;
    for (std::uint64_t page = 1; page < pages_; ++page) {
      const ByteView bytes = page_at(page);
      if (bytes[25] != kUnsortedHash && bytes[25] != kSortedHash) continue;
      TRY(read_page(bytes, distribution, packages));
    }
    return packages;
  }

 private:
  Database(ByteView bytes, std::string place) : bytes_(bytes), place_(std::move(place)) {}
  std::optional<std::uint64_t> number(ByteView bytes, std::uint64_t at, std::size_t size) const { return number_at(bytes, at, size, order_); }
  ByteView page_at(std::uint64_t page) const { return bytes_.subspan(static_cast<std::size_t>(page * page_size_), static_cast<std::size_t>(page_size_)); }

  // Items stand in pairs: a key, a value. The value of key 0 is the counter of the packages.
  Status read_page(ByteView page, const Distribution& distribution, Packages& packages) const {
    const auto items = *number(page, 20, 2);
    if (kPageHead + 2 * items > page.size() || items % 2 != 0) return broken_rpm_database("a page of too many items", place_);
    for (std::uint64_t i = 1; i < items; i += 2) {
      const auto at = *number(page, kPageHead + 2 * i, 2);
      if (at >= page.size()) return broken_rpm_database("an item outside of its page", place_);
      const Bytes value = TRY(read_item(page, i, at));
      if (value.size() == 4) continue;  // the counter
      if (packages.size() == kRpmPackagesMax) return fail(ErrorCode::limit_exceeded, "too many packages", place_);
      if (auto package = TRY(read_rpm_header(value, place_, distribution))) packages.push_back(std::move(*package));
    }
    return {};
  }

  // Items lie from the end of the page towards its start, each behind the byte of its kind.
  Result<Bytes> read_item(ByteView page, std::uint64_t index, std::uint64_t at) const {
    const std::uint8_t kind = page[static_cast<std::size_t>(at)];
    if (kind == kInline) {
      const auto end = *number(page, kPageHead + 2 * (index - 1), 2);
      const auto value = end > at ? slice(page, at + 1, end - at - 1) : std::nullopt;
      if (!value) return broken_rpm_database("an item outside of its page", place_);
      return Bytes(value->begin(), value->end());
    }
    if (kind != kOffPage) return broken_rpm_database("an item of an unknown kind", place_);
    const auto first = number(page, at + 4, 4), length = number(page, at + 8, 4);
    if (!first || !length) return broken_rpm_database("an item outside of its page", place_);
    return read_chain(*first, *length);
  }

  Result<Bytes> read_chain(std::uint64_t page, std::uint64_t length) const {
    if (length > bytes_.size()) return broken_rpm_database("an item longer than the file", place_);
    Bytes value;
    while (page != 0 && value.size() < length) {
      if (page >= pages_) return broken_rpm_database("a chain of pages that leaves the file", place_);
      const ByteView bytes = page_at(page);
      const auto used = *number(bytes, 22, 2);
      if (bytes[25] != kOverflow || used == 0 || kPageHead + used > bytes.size()) return broken_rpm_database("a chain of pages that breaks off", place_);
      value.insert(value.end(), bytes.begin() + kPageHead, bytes.begin() + kPageHead + static_cast<std::ptrdiff_t>(used));
      page = *number(bytes, 16, 4);
    }
    if (value.size() != length) return broken_rpm_database("an item that is cut off", place_);
    return value;
  }

  ByteView bytes_;
  std::string place_;
  ByteOrder order_ = ByteOrder::little;
  std::uint64_t page_size_ = 0, pages_ = 0;
};

}  // namespace

Result<Packages> read_rpm_berkeley(ByteView bytes, const std::string& place, const Distribution& distribution) {
  return TRY(Database::open(bytes, place)).read(distribution);
}

}  // namespace redoubt::packages
