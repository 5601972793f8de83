// SPDX-License-Identifier: Apache-2.0
#include <sqlite3.h>

#include <algorithm>
#include <memory>

#include "base/file.h"
#include "packages/bounded.h"
#include "packages/records.h"
#include "packages/rpm_form.h"
#include "packages/rpm_header.h"

namespace redoubt::packages {
namespace {

Status add_header(ByteView header, const std::string& place, const Distribution& distribution, Packages& packages) {
  if (packages.size() == kRpmPackagesMax) return fail(ErrorCode::limit_exceeded, "too many packages", place);
  if (auto package = TRY(read_rpm_header(header, place, distribution))) packages.push_back(std::move(*package));
  return {};
}

// --- SQLite ---

struct CloseSqlite {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
};
struct FinalizeSqlite {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

int give_up(void* steps) { return ++*static_cast<int*>(steps) > 100'000; }  // hundred thousand times 10,000 instructions

// The file is somebody else's: no triggers, no views that run functions, no endless statement.
Result<std::unique_ptr<sqlite3, CloseSqlite>> open_strange(const std::filesystem::path& file, int& steps, const std::string& place) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(file.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_PRIVATECACHE, nullptr);
  std::unique_ptr<sqlite3, CloseSqlite> database(raw);
  if (code != SQLITE_OK) return broken_rpm_database("SQLite does not open it", place);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_limit(raw, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_progress_handler(raw, 10'000, give_up, &steps);
  return database;
}

Result<std::unique_ptr<sqlite3_stmt, FinalizeSqlite>> prepare(sqlite3* database, const char* sql, const std::string& place) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(database, sql, -1, &raw, nullptr) != SQLITE_OK) return broken_rpm_database(sqlite3_errmsg(database), place);
  return std::unique_ptr<sqlite3_stmt, FinalizeSqlite>(raw);
}

Status check_sound(sqlite3* database, const std::string& place) {
  const auto check = TRY(prepare(database, "PRAGMA quick_check(1)", place));
  if (sqlite3_step(check.get()) != SQLITE_ROW) return broken_rpm_database(sqlite3_errmsg(database), place);
  const auto* told = reinterpret_cast<const char*>(sqlite3_column_text(check.get(), 0));
  if (told == nullptr || std::string_view(told) != "ok") return broken_rpm_database(told == nullptr ? "damaged" : told, place);
  return {};
}

}  // namespace

Result<Packages> read_rpm_sqlite(ByteView database, ByteView write_ahead_log, const std::string& place, const Distribution& distribution) {
  const auto folder = TRY(TemporaryFolder::create());
  TRY(write_file(folder.path() / "rpmdb.sqlite", database));
  if (!write_ahead_log.empty()) TRY(write_file(folder.path() / "rpmdb.sqlite-wal", write_ahead_log));
  int steps = 0;
  const auto opened = TRY(open_strange(folder.path() / "rpmdb.sqlite", steps, place));
  TRY(check_sound(opened.get(), place));
  const auto rows = TRY(prepare(opened.get(), "SELECT blob FROM Packages ORDER BY hnum", place));
  Packages packages;
  int code = 0;
  while ((code = sqlite3_step(rows.get())) == SQLITE_ROW) {
    const auto* blob = static_cast<const std::uint8_t*>(sqlite3_column_blob(rows.get(), 0));
    TRY(add_header(ByteView(blob, blob == nullptr ? 0 : static_cast<std::size_t>(sqlite3_column_bytes(rows.get(), 0))), place, distribution, packages));
  }
  if (code != SQLITE_DONE) return broken_rpm_database(sqlite3_errmsg(opened.get()), place);
  return packages;
}

// rpm's lib/backend/ndb/rpmpkg.c: a header, pages of slots that tell where each blob is, blobs in blocks of 16 bytes; little-endian.
Result<Packages> read_rpm_ndb(ByteView database, const std::string& place, const Distribution& distribution) {
  constexpr std::uint64_t kFileMagic = 0x506d7052, kSlotMagic = 0x746f6c53, kBlobMagic = 0x53626c42, kEndMagic = 0x45626c42;  // "RpmP", "Slot", "BlbS", "BlbE"
  constexpr std::uint64_t kPage = 4096, kSlot = 16, kBlock = 16, kBlobHead = 16, kBlobTail = 12;
  const auto pages = little32(database, 12);
  if (little32(database, 0) != kFileMagic || little32(database, 4) != 0 || !pages) return broken_rpm_database("no \"ndb\" header", place);
  const auto slots = slice(database, 0, *pages * kPage);
  if (!slots || *pages == 0) return broken_rpm_database("its pages of slots are cut off", place);
  Packages packages;
  for (std::uint64_t at = 2 * kSlot; at < slots->size(); at += kSlot) {
    const auto number = *little32(*slots, at + 4), block = *little32(*slots, at + 8), blocks = *little32(*slots, at + 12);
    if (*little32(*slots, at) != kSlotMagic) return broken_rpm_database("a slot without its mark", place);
    if (block == 0) continue;  // free
    const auto blob = slice(database, block * kBlock, blocks * kBlock);
    const auto length = blob ? little32(*blob, 12) : std::nullopt;
    if (!length || little32(*blob, 0) != kBlobMagic || little32(*blob, 4) != number) return broken_rpm_database("a slot that points to no package", place);
    const auto header = slice(*blob, kBlobHead, *length);
    const std::uint64_t end = blob->size() - kBlobTail;
    if (!header || blob->size() < kBlobHead + kBlobTail || little32(*blob, end + 8) != kEndMagic || little32(*blob, end + 4) != *length) return broken_rpm_database("a package that is cut off", place);
    TRY(add_header(*header, place, distribution, packages));
  }
  return packages;
}

}  // namespace redoubt::packages
