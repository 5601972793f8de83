// SPDX-License-Identifier: Apache-2.0
#include "cli/audit.h"

#include <fmt/format.h>

#include <set>

#include "base/file.h"
#include "cli/endpoint_parts.h"
#include "crypto/hash.h"
#include "ledger/verify.h"
#include "provider/local/image_store.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;

class Auditor {
 public:
  Auditor(Session& session, Progress& progress) : session_(session), progress_(progress), layout_(session.workspace().layout()) {}

  AuditReport run() {
    check_ledger();
    check_description();
    append(session_.check_registry());
    check_objects();
    check_state();
    check_secrets();
    check_identities();
    check_images();
    check_authority();
    check_strays();
    return std::move(report_);
  }

 private:
  void add(std::string kind, std::string object, std::string detail) { report_.problems.push_back({std::move(kind), std::move(object), std::move(detail)}); }
  void append(Problems problems) { report_.problems.insert(report_.problems.end(), problems.begin(), problems.end()); }
  std::string relative(const fs::path& path) const { return path.lexically_relative(layout_.root).string(); }

  void check_ledger() {
    auto ledger = ledger::verify_ledger(session_.ledger_options(), session_.ledger_key().public_key());
    report_.entries = ledger.entries;
    report_.root = ledger.root;
    const bool sound = ledger.problems.empty();
    append(std::move(ledger.problems));
    if (!sound) return;
    auto statements = session_.evidence().verify_statements();
    if (statements) {
      append(std::move(*statements));
    } else {
      add("ledger", statements.error().where, statements.error().message);
    }
  }

  // workspace.json and identities.json are plain; their digests stand in the ledger.
  void check_description() {
    std::string description, identities;
    for (const char* step : {"workspace", "identity"}) {
      const auto entries = session_.evidence().of_step(step);
      if (!entries) return;  // named already
      for (const auto& entry : *entries) {
        const auto record = attest::to_step_record(entry.statement);
        if (!record) continue;
        if (record->result.contains("description")) description = record->result.value("description", "");
        identities = record->result.value("identities", identities);
      }
    }
    compare_file(layout_.description(), description, "workspace");
    compare_file(layout_.identities(), identities, "identities");
  }

  void compare_file(const fs::path& path, const std::string& recorded, const char* kind) {
    const auto bytes = read_file(path, 16 << 20);
    if (!bytes) return add(kind, relative(path), bytes.error().message);
    if (crypto::sha256(*bytes).tagged() != recorded) add(kind, relative(path), "not what the ledger recorded");
  }

  void check_objects() {
    const auto keys = session_.workspace().objects().list("");
    if (!keys) return add("object", "objects", keys.error().message);
    report_.objects = keys->size();
    const auto damaged = session_.store().verify_all();
    if (!damaged) return add("object", damaged.error().where, damaged.error().message);
    for (const auto& damage : *damaged) add("object", "objects/" + damage.object, damage.error.message);
  }

  void check_state() {
    const auto names = list_folder(layout_.state());
    if (!names) return add("state", "state", names.error().message);
    for (const auto& name : *names) {
      if (name.starts_with('.')) continue;
      const auto file = session_.workspace().state_file(name);
      const auto read = file ? file->read() : Result<Bytes>(fail(file.error()));
      if (!read) add("state", "state/" + name, read.error().message);
    }
  }

  void check_secrets() {
    const auto secrets = session_.secrets().list();
    if (!secrets) return add("secret", secrets.error().where, secrets.error().message);
    for (const auto& info : *secrets) {
      if (const auto value = session_.secrets().get(info.name); !value) add("secret", info.name, value.error().message);
    }
  }

  void check_identities() {
    for (const auto& identity : session_.workspace().identities().list()) {
      const auto key = session_.workspace().identities().unlock(identity.name);
      // Whoever audits need not hold everybody's credential: that alone is no problem.
      if (!key && key.error().code == ErrorCode::tampered) add("identity", "identities/" + identity.name, key.error().message);
    }
  }

  void check_images() {
    if (!fs::exists(layout_.images())) return;
    auto store = provider::local::LocalImageStore::open(layout_.images());
    if (!store) return add("image", "images", store.error().message);
    for (auto& problem : (*store)->verify_all()) add("image", "images/" + problem.object, problem.kind + ": " + problem.detail);
  }

  // ca.pem is what clients are told to trust; the authority itself is sealed.
  void check_authority() {
    const fs::path file = layout_.root / "ca.pem";
    if (!fs::exists(file)) return;
    const auto authority = endpoint_authority(session_);
    const auto text = read_text_file(file, 1 << 20);
    if (!authority || !text || *text != authority->certificate) add("authority", "ca.pem", "not the certificate of the workspace's authority");
  }

  // Names of the folder's top that belong to a workspace; what lies below folders is checked by their owners.
  void check_strays() {
    static const std::set<std::string> kKnown = {"workspace.json", "keyring.json", "objects", "secrets", "state", "identities.json", "identities", "ledger", "images", "spool",
                                                 "registry.db", "registry.db.mac", "registry.db.lock", "metrics.db", "run.lock", "ca.pem"};
    const auto names = list_folder(layout_.root);
    if (!names) return add("stray", layout_.root.string(), names.error().message);
    for (const auto& name : *names) {
      if (kKnown.contains(name) || name.starts_with("endpoint-") || name.ends_with(".lock") || name.starts_with('.')) continue;
      add("stray", name, "no part of a workspace");
    }
  }

  Session& session_;
  Progress& progress_;
  const governance::WorkspaceLayout& layout_;
  AuditReport report_;
};

}  // namespace

AuditReport audit_session(Session& session, Progress& progress) { return Auditor(session, progress).run(); }

Result<AuditReport> audit_workspace(const GlobalOptions& options, Progress& progress) {
  auto session = Session::open(options);
  if (session) return audit_session(**session, progress);
  if (session.error().code != ErrorCode::tampered) return fail(session.error());
  AuditReport report;
  report.problems.push_back({"workspace", session.error().where, session.error().message});
  return report;
}

}  // namespace redoubt::cli
