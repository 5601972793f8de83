// SPDX-License-Identifier: Apache-2.0
#include "base/sqlite.h"

#include <sqlite3.h>

namespace redoubt {
namespace {

tl::unexpected<Error> fail_sqlite(sqlite3* database, const std::string& where) {
  const int code = sqlite3_errcode(database) & 0xff;
  const std::string message = std::string("database: ") + sqlite3_errmsg(database);
  switch (code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return fail(ErrorCode::tampered, message, where);
    case SQLITE_FULL: return fail(ErrorCode::limit_exceeded, message, where, "free some space on that file system");
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return fail(ErrorCode::unavailable, message, where, "another process holds it; try again");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN: return fail(ErrorCode::permission_denied, message, where);
    case SQLITE_CONSTRAINT: return fail(ErrorCode::already_exists, message, where);
    default: return fail(ErrorCode::unavailable, message, where);
  }
}

}  // namespace

void SqlStatement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
void SqlDatabase::Close::operator()(sqlite3* database) const { sqlite3_close_v2(database); }

SqlStatement& SqlStatement::bind(int parameter, std::string_view text) {
  sqlite3_bind_text(statement_.get(), parameter, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
  return *this;
}
SqlStatement& SqlStatement::bind(int parameter, std::int64_t number) {
  sqlite3_bind_int64(statement_.get(), parameter, number);
  return *this;
}
SqlStatement& SqlStatement::bind(int parameter, double number) {
  sqlite3_bind_double(statement_.get(), parameter, number);
  return *this;
}

Result<bool> SqlStatement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return fail_sqlite(database_, where_);
}

Status SqlStatement::run() {
  while (TRY(step())) {
  }
  return {};
}

std::string SqlStatement::text(int column) const {
  const auto* bytes = sqlite3_column_text(statement_.get(), column);
  return bytes == nullptr ? std::string()
                          : std::string(reinterpret_cast<const char*>(bytes),
                                        static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column)));
}
std::int64_t SqlStatement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double SqlStatement::number(int column) const { return sqlite3_column_double(statement_.get(), column); }

Result<SqlDatabase> SqlDatabase::open(const std::filesystem::path& path) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, nullptr);
  SqlDatabase database(raw, path.string());
  if (code != SQLITE_OK) return fail_sqlite(raw, path.string());
  sqlite3_busy_timeout(raw, 10'000);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  TRY(database.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;"));
  auto check = TRY(database.prepare("PRAGMA quick_check"));
  if (!TRY(check.step()) || check.text(0) != "ok") {
    return fail(ErrorCode::tampered, "the database fails its integrity check", path.string());
  }
  return database;
}

Status SqlDatabase::execute(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return fail_sqlite(database_.get(), where_);
  return {};
}

Result<SqlStatement> SqlDatabase::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr) != SQLITE_OK) {
    return fail_sqlite(database_.get(), where_);
  }
  return SqlStatement(database_.get(), statement, where_);
}

Status SqlDatabase::checkpoint() {
  if (sqlite3_wal_checkpoint_v2(database_.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr) != SQLITE_OK) {
    return fail_sqlite(database_.get(), where_);
  }
  return {};
}

}  // namespace redoubt
