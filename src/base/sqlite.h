// SPDX-License-Identifier: Apache-2.0
//
// A small face of SQLite: WAL with full synchronisation, prepared statements, Results instead of codes.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace redoubt {

// One prepared statement; parameters count from 1, columns from 0.
class SqlStatement {
 public:
  SqlStatement& bind(int parameter, std::string_view text);
  SqlStatement& bind(int parameter, std::int64_t number);
  SqlStatement& bind(int parameter, double number);
  // True when a row is there to be read, false at the end.
  Result<bool> step();
  // Runs it to its end.
  Status run();
  std::string text(int column) const;
  std::int64_t integer(int column) const;
  double number(int column) const;

 private:
  friend class SqlDatabase;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  SqlStatement(sqlite3* database, sqlite3_stmt* statement, std::string where)
      : database_(database), statement_(statement), where_(std::move(where)) {}
  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::string where_;
};

// Not safe to share between threads; several processes may open one file (waits up to 10 s for a lock).
class SqlDatabase {
 public:
  // Opens or makes the file; ":memory:" for one in memory. tampered when it is not a database or fails its own integrity check.
  static Result<SqlDatabase> open(const std::filesystem::path& path);

  // Runs one or more statements without parameters.
  Status execute(const char* sql);
  Result<SqlStatement> prepare(std::string_view sql);
  // Runs `body` between BEGIN IMMEDIATE and COMMIT; rolled back when it fails.
  template <class Body>
  Status transaction(Body body) {
    TRY(execute("BEGIN IMMEDIATE"));
    if (Status done = body(); !done) {
      (void)execute("ROLLBACK");
      return done;
    }
    return execute("COMMIT");
  }
  // Moves the write-ahead log into the file and empties it.
  Status checkpoint();

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  SqlDatabase(sqlite3* database, std::string where) : database_(database), where_(std::move(where)) {}
  std::unique_ptr<sqlite3, Close> database_;
  std::string where_;
};

}  // namespace redoubt
