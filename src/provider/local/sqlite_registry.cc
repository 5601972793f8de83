// SPDX-License-Identifier: Apache-2.0
#include "provider/local/sqlite_registry.h"

#include "base/file.h"
#include "crypto/hash.h"

namespace redoubt::provider::local {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPending = "pending\n";
constexpr std::uint64_t kRegistryBytesMax = 1ull << 30;
constexpr const char* kSchema =
    "CREATE TABLE IF NOT EXISTS versions (sequence INTEGER PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL,"
    " state TEXT NOT NULL, metrics TEXT NOT NULL, created TEXT NOT NULL, created_by TEXT NOT NULL, statement TEXT NOT NULL,"
    " reason TEXT NOT NULL, UNIQUE(name, version));"
    "CREATE TABLE IF NOT EXISTS ledger (id INTEGER PRIMARY KEY CHECK (id = 1), applied INTEGER NOT NULL);"
    "INSERT OR IGNORE INTO ledger VALUES (1, 0);";
constexpr const char* kColumns = "name, version, digest, state, metrics, created, created_by, statement, reason";

fs::path mac_path(const fs::path& file) { return file.string() + ".mac"; }

Result<std::string> mac_of(const SqliteRegistry::Options& options) {
  const Bytes contents = TRY(read_file(options.file, kRegistryBytesMax));
  return crypto::hmac_sha256(options.mac_key, contents).hex() + "\n";
}

Status remove_if_there(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) return fail_errno(error.value(), "remove", path.string());
  return {};
}

Status check_mac(const SqliteRegistry::Options& options, const std::string& recorded) {
  const auto changed = [&](std::string what) {
    return fail(ErrorCode::tampered, std::move(what), options.file.string(),
                "look into who changed it, then rebuild it from the ledger with 'redoubt registry rebuild'");
  };
  const std::string mac_name = mac_path(options.file).filename().string();
  if (!is_there(options.file)) return changed("the registry's file is missing");
  if (is_there(options.file.string() + "-wal")) {
    std::error_code error;
    if (fs::file_size(options.file.string() + "-wal", error) != 0) return changed("the registry has a write-ahead log that no change of ours left");
  }
  if (!equal_constant_time(view_of(TRY(mac_of(options))), view_of(recorded))) {
    return changed("the registry's file is not the one that was last written: it, or its authentication code in " + mac_name + ", was changed");
  }
  return {};
}

ModelVersion read_row(const SqlStatement& row) {
  ModelVersion version;
  version.name = row.text(0);
  version.version = row.text(1);
  version.digest = row.text(2);
  version.state = parse_version_state(row.text(3)).value_or(VersionState::revoked);
  version.metrics = parse_json(row.text(4), "registry").value_or(Json::object());
  version.created = row.text(5);
  version.created_by = row.text(6);
  version.statement = row.text(7);
  version.reason = row.text(8);
  return version;
}

Status insert(SqlDatabase& database, const ModelVersion& version) {
  auto query = TRY(database.prepare(std::string("INSERT INTO versions (") + kColumns + ") VALUES (?,?,?,?,?,?,?,?,?)"));
  query.bind(1, version.name).bind(2, version.version).bind(3, version.digest).bind(4, std::string_view(to_string(version.state)));
  query.bind(5, dump_json(version.metrics)).bind(6, version.created).bind(7, version.created_by).bind(8, version.statement);
  return query.bind(9, version.reason).run();
}

Result<ModelVersion> find(SqlDatabase& database, std::string_view name, std::string_view version) {
  auto query = TRY(database.prepare(std::string("SELECT ") + kColumns + " FROM versions WHERE name = ? AND version = ?"));
  query.bind(1, name).bind(2, version);
  if (!TRY(query.step())) {
    return fail(ErrorCode::not_found, "no such version in the registry", std::string(name) + "/" + std::string(version),
                "list the versions with 'redoubt registry list'");
  }
  return read_row(query);
}

Status update(SqlDatabase& database, const StateChange& state) {
  (void)TRY(find(database, state.name, state.version));
  auto query = TRY(database.prepare("UPDATE versions SET state = ?, reason = ? WHERE name = ? AND version = ?"));
  query.bind(1, std::string_view(to_string(state.state))).bind(2, state.reason);
  return query.bind(3, state.name).bind(4, state.version).run();
}

Result<std::uint64_t> applied(SqlDatabase& database) {
  auto query = TRY(database.prepare("SELECT applied FROM ledger"));
  if (!TRY(query.step())) return fail(ErrorCode::tampered, "the registry has lost its place in the ledger");
  return static_cast<std::uint64_t>(query.integer(0));
}

Status apply_one(SqlDatabase& database, const RegistryChange& entry) {
  for (const auto& version : entry.added) TRY(insert(database, version));
  for (const auto& state : entry.states) TRY(update(database, state));
  auto query = TRY(database.prepare("UPDATE ledger SET applied = ?1 WHERE applied < ?1"));
  return query.bind(1, static_cast<std::int64_t>(entry.ledger_index + 1)).run();
}

// What an earlier process left: nothing to do, or a change cut short, or a file that somebody else wrote.
Status check_left_behind(const SqliteRegistry::Options& options) {
  const fs::path mac = mac_path(options.file);
  if (!is_there(mac)) {
    if (!is_there(options.file)) return {};
    return fail(ErrorCode::tampered, "the registry's authentication code is missing", mac.string(),
                "look into who removed it, then rebuild the registry with 'redoubt registry rebuild'");
  }
  const std::string recorded = TRY(read_text_file(mac, 4096));
  if (recorded == kPending) return SqliteRegistry::discard(options.file);
  return check_mac(options, recorded);
}

}  // namespace

Status SqliteRegistry::discard(const fs::path& file) {
  for (const char* ending : {"", "-wal", "-shm", ".mac"}) TRY(remove_if_there(file.string() + ending));
  return {};
}

Result<std::unique_ptr<SqliteRegistry>> SqliteRegistry::open(Options options) {
  std::unique_ptr<SqliteRegistry> registry(new SqliteRegistry(std::move(options)));
  (void)TRY(registry->entries_applied());
  return registry;
}

template <class Body>
auto SqliteRegistry::with_database(Body body) -> decltype(body(std::declval<SqlDatabase&>())) {
  const auto lock = TRY(FileLock::acquire(options_.file.string() + ".lock"));
  TRY(check_left_behind(options_));
  const bool is_new = !is_there(options_.file);
  if (is_new) TRY(write_file(mac_path(options_.file), kPending));
  auto database = TRY(SqlDatabase::open(options_.file));
  if (is_new) TRY(change(database, [&] { return database.execute(kSchema); }));
  return body(database);
}

template <class Body>
Status SqliteRegistry::change(SqlDatabase& database, Body body) {
  TRY(write_file(mac_path(options_.file), kPending));
  Status done = database.transaction(body);
  TRY(database.checkpoint());
  TRY(write_file(mac_path(options_.file), TRY(mac_of(options_))));
  return done;
}

Result<std::uint64_t> SqliteRegistry::entries_applied() {
  return with_database([](SqlDatabase& database) { return applied(database); });
}

Status SqliteRegistry::apply(const std::vector<RegistryChange>& changes) {
  return with_database([&](SqlDatabase& database) -> Status {
    const std::uint64_t seen = TRY(applied(database));
    if (changes.empty() || changes.back().ledger_index < seen) return {};
    return change(database, [&]() -> Status {
      for (const auto& entry : changes) {
        if (entry.ledger_index >= seen) TRY(apply_one(database, entry));
      }
      return {};
    });
  });
}

Result<ModelVersion> SqliteRegistry::get(std::string_view name, std::string_view version) {
  return with_database([&](SqlDatabase& database) { return find(database, name, version); });
}

Result<std::vector<ModelVersion>> SqliteRegistry::list() {
  return with_database([](SqlDatabase& database) -> Result<std::vector<ModelVersion>> {
    auto query = TRY(database.prepare(std::string("SELECT ") + kColumns + " FROM versions ORDER BY name, sequence"));
    std::vector<ModelVersion> versions;
    while (TRY(query.step())) versions.push_back(read_row(query));
    return versions;
  });
}

}  // namespace redoubt::provider::local
