// SPDX-License-Identifier: Apache-2.0
#include "cli/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "base/file.h"
#include "cli/compose.h"
#include "cli/endpoint_parts.h"
#include "crypto/hash.h"
#include "governance/state_change.h"
#include "ledger/verify.h"
#include "provider/local/image_store.h"
#include "provider/local/vault_secret_store.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;

// Everything of a workspace is named from its root; what lies outside (the anchor, a key file) keeps its full path.
std::string name_in_workspace(const governance::WorkspaceLayout& layout, const fs::path& object) {
  const fs::path inside = object.is_absolute() == layout.root.is_absolute() ? object.lexically_relative(layout.root) : fs::path();
  return inside.empty() || *inside.begin() == ".." ? object.string() : inside.string();
}

// What the ledger's own check names from its folder.
Problems in_ledger(const governance::WorkspaceLayout& layout, Problems problems) {
  for (auto& problem : problems) problem.object = name_in_workspace(layout, layout.ledger() / problem.object);
  return problems;
}

class Auditor {
 public:
  explicit Auditor(Session& session) : session_(session), layout_(session.workspace().layout()) {}

  AuditReport run() {
    check_ledger();
    const auto read = read_records();
    if (!read) add("ledger", read.error().where, read.error().message);
    if (read) check_description();
    if (read) find_set_clocks();
    if (const auto registry = session_.check_registry(); registry) append(*registry);
    else judge("registry", registry.error().where, registry.error(), session_.is_far("registry"));
    append(session_.check_providers());
    check_objects();
    check_custody();
    if (read) check_outputs();
    check_state();
    check_trail();
    check_secrets();
    check_newest();
    check_identities();
    check_images();
    check_authority();
    check_strays();
    return std::move(report_);
  }

 private:
  void add(std::string kind, const fs::path& object, std::string detail) {
    report_.problems.push_back({std::move(kind), name_in_workspace(layout_, object), std::move(detail)});
  }
  // What was found, or what a service far from here did not let be found.
  void judge(const char* kind, const fs::path& object, const Error& error, bool is_far) {
    if (!is_far || error.code == ErrorCode::tampered || error.code == ErrorCode::not_found) return add(kind, object, error.message);
    const auto known = std::find_if(report_.unchecked.begin(), report_.unchecked.end(), [&](const Unchecked& one) { return one.kind == kind; });
    if (known != report_.unchecked.end()) ++known->count;
    else report_.unchecked.push_back({kind, error});
  }
  void append(const Problems& problems) {
    for (const auto& problem : problems) add(problem.kind, problem.object, problem.detail);
  }

  void check_ledger() {
    auto ledger = ledger::verify_ledger(session_.ledger_options(), session_.ledger_key().public_key());
    report_.entries = ledger.entries;
    report_.root = ledger.root;
    const bool sound = ledger.problems.empty();
    append(in_ledger(layout_, std::move(ledger.problems)));
    if (!sound) return;
    auto statements = session_.evidence().verify_statements();
    if (statements) {
      append(std::move(*statements));
    } else {
      add("ledger", statements.error().where, statements.error().message);
    }
  }

  // All of the ledger's records, read below the signatures: with changed identities no signature verifies, and it is the ledger's
  // own signature that covers these bytes.
  Status read_records() {
    auto reader = TRY(ledger::LedgerReader::open(session_.ledger_options(), session_.ledger_key().public_key()));
    return reader->for_each(0, [&](std::uint64_t index, ByteView entry) -> Status {
      const auto envelope = TRY(attest::parse_envelope(text_of(entry), "entry"));
      const auto statement = TRY(attest::parse_statement(text_of(envelope.payload), "entry"));
      if (auto record = attest::to_step_record(statement)) records_.emplace_back(index, std::move(*record));
      return {};
    });
  }

  // What ran at the same time may have been recorded in another order than it ended.
  void find_set_clocks() {
    constexpr auto kSideBySide = std::chrono::minutes(1);
    for (std::size_t i = 1; i < records_.size(); ++i) {
      const auto before = records_[i - 1].second.finished, finished = records_[i].second.finished;
      if (finished + kSideBySide < before) report_.clock_set_back.push_back({records_[i].first, finished, before});
    }
  }

  // workspace.json and identities.json are plain; their digests stand in the ledger.
  void check_description() {
    std::string description, identities;
    for (const auto& [index, record] : records_) {
      if (record.step != "workspace" && record.step != "identity") continue;
      if (record.step == "workspace") description = json_string(record.result, "description", "ledger").value_or("");
      identities = json_string(record.result, "identities", "ledger").value_or(identities);
    }
    compare_file(layout_.description(), description, "workspace");
    compare_file(layout_.identities(), identities, "identities");
  }

  void compare_file(const fs::path& path, const std::string& recorded, const char* kind) {
    const auto bytes = read_file(path, 16 << 20);
    if (!bytes) return add(kind, path, bytes.error().message);
    if (crypto::sha256(*bytes).tagged() != recorded) add(kind, path, "not what the ledger recorded");
  }

  void check_objects() {
    const bool is_far = session_.is_far("objects") || session_.is_far("kms");
    check_store(session_.objects(), session_.store(), is_far);
    auto& embedded = session_.workspace();
    if (&embedded.artifacts() != &session_.store()) check_store(embedded.objects(), embedded.artifacts(), false);  // from before it went elsewhere
  }

  void check_store(provider::ObjectStore& objects, vault::ArtifactStore& artifacts, bool is_far) {
    const auto keys = objects.list("");
    if (!keys) {
      if (is_far) away_ = keys.error();
      return judge("object", keys.error().where, keys.error(), is_far);
    }
    report_.objects += keys->size();
    keys_.insert(keys->begin(), keys->end());
    const auto damaged = artifacts.verify_all();
    if (!damaged) return judge("object", damaged.error().where, damaged.error(), is_far);
    for (const auto& damage : *damaged) judge("object", "objects/" + damage.object, damage.error, is_far);
  }

  // What the steps of a pipeline gave must be there: objects that are gone together with whatever names them leave no other trace.
  void check_outputs() {
    static const std::set<std::string> kSteps = {"acquire", "data", "image", "train", "evaluate", "register"};
    std::set<std::pair<std::string, Digest>> seen;
    for (const auto& [index, record] : records_) {
      if (!kSteps.contains(record.step)) continue;
      for (const auto& [name, digest] : record.outputs) {
        if (is_gone_by_right(index, digest) || !seen.emplace(name, digest).second) continue;
        name == "image" ? check_image(record.step, digest) : check_object(record.step, name, digest);
      }
    }
  }

  // Deleted or archived after the record that names it.
  bool is_gone_by_right(std::uint64_t index, const Digest& digest) const {
    for (const char* kind : {"manifests/", "blobs/"}) {
      const auto stone = custody_.tombstones().find(kind + digest.hex());
      if (stone != custody_.tombstones().end() && stone->second.entry > index) return true;
    }
    const auto archived = custody_.archived().find({custody::Place{}, digest});
    return archived != custody_.archived().end() && archived->second > index;
  }

  // Names, holds and deletions are the ledger's; here is whether the stores are as it says.
  void check_custody() {
    auto view = session_.custody();
    if (!view) return add("vault", view.error().where, view.error().message);
    custody_ = std::move(*view);
    check_own_keys();
    check_named();
    check_tombstones();
    const auto anchored = session_.anchored_access();
    if (!anchored) return add("access", "access.log", anchored.error().message);
    append(session_.access_log().verify(*anchored));
  }

  void check_own_keys() {
    for (const auto& [id, key] : custody_.own_keys()) {
      own_prefixes_.insert(custody::Place{id}.prefix());
      const auto keeper = session_.workspace().own_keys();
      const bool is_local = key.uri.starts_with("own:");
      const auto destroyed = is_local && keeper ? (*keeper)->is_destroyed(key.uri) : Result<bool>(false);
      const bool has_it = is_local && keeper && (*keeper)->versions().value_or(std::map<std::string, std::size_t>{}).contains(id);
      if (key.erased && has_it) add("keyring", session_.workspace().own_keyring(), fmt::format("an older one was put back: the key of {} was destroyed (ledger entry {})", key.name, *key.erased));
      if (key.erasing) continue;
      if (is_local && !has_it) {
        const Error why{ErrorCode::not_found, destroyed.value_or(false) ? "the key of " + key.name + " was destroyed after this state of the ledger" : "the key of " + key.name + " is not in this machine's keyring", key.uri,
                        "bring own-keys.json from where the workspace was, or from its replica: redoubt vault recover"};
        report_.unchecked.push_back({"own key", why});
        continue;
      }
      const auto artifacts = session_.providers().artifacts_in(session_.providers().first_objects(), custody::Place{id}.prefix(), key.uri);
      const auto damaged = artifacts ? (*artifacts)->verify_all() : Result<std::vector<vault::Damage>>(fail(artifacts.error()));
      if (!damaged) judge("object", damaged.error().where, damaged.error(), !is_local);
      for (const auto& one : damaged ? *damaged : std::vector<vault::Damage>{}) judge("object", "objects/" + custody::Place{id}.prefix() + one.object, one.error, !is_local);
    }
    for (const auto& key : keys_) {
      const bool is_own = key.starts_with("own/");
      if (is_own && !own_prefixes_.contains(key.substr(0, key.find('/', 4) + 1))) add("stray", "objects/" + key, "sealed by no key that the ledger knows");
    }
  }

  void check_named() {
    const auto stores = session_.stores();
    for (const auto& [name, versions] : custody_.names()) {
      for (const auto& version : versions) {
        if (version.fate != custody::VersionFate::kept || custody_.archived().contains({version.place, version.artifact})) continue;
        const std::string object = version.place.prefix() + "manifests/" + version.artifact.hex();
        if (!keys_.contains(object) && !away_ && !is_being_erased(version.place, object)) add("object", "objects/" + object, "missing: " + version.text());
      }
    }
    for (const auto& [where, entry] : custody_.archived()) {
      const auto artifacts = stores ? stores->artifacts(custody::kArchive, where.first) : Result<vault::ArtifactStore*>(fail(stores.error()));
      const auto sound = artifacts ? (*artifacts)->verify(where.second) : Status(fail(artifacts.error()));
      if (!sound) judge("object", "archive/" + where.first.prefix() + "manifests/" + where.second.hex(), sound.error(), sound.error().code == ErrorCode::unavailable);
    }
  }

  // The ledger says that its key and it go, and not yet that all is done: the erasure was killed in between, or goes on now.
  bool is_being_erased(const custody::Place& place, const std::string& object) const {
    const auto key = custody_.own_keys().find(place.own_key);
    return key != custody_.own_keys().end() && key->second.erasing && custody_.tombstones().contains(object);
  }

  void check_tombstones() {
    std::map<std::uint64_t, std::set<std::string>> again;
    std::set<std::string> unfinished;
    for (const auto& removal : custody_.unfinished()) unfinished.insert(removal.keys.begin(), removal.keys.end());
    for (const auto& [key, stone] : custody_.tombstones()) {
      if (!keys_.contains(key) || unfinished.contains(key)) continue;
      if (!again.contains(stone.entry)) {
        const auto stores = session_.stores();
        const auto written = stores ? custody::written_after(*stores, stone.entry) : Result<std::set<std::string>>(fail(stores.error()));
        if (!written) return add("vault", written.error().where, written.error().message);
        again[stone.entry] = *written;
      }
      if (!again[stone.entry].contains(key)) add("object", "objects/" + key, fmt::format("was deleted, and is there again (ledger entry {})", stone.entry));
    }
  }

  // Listed here or there: what steps gave before the workspace's objects went elsewhere lies here.
  void check_object(const std::string& step, const std::string& name, const Digest& digest) {
    if (keys_.contains("blobs/" + digest.hex()) || keys_.contains("manifests/" + digest.hex())) return;
    const std::string object = "objects/" + digest.hex();
    if (away_) return judge("object", object, *away_, true);
    add("object", object, "missing: the " + name + " of the step " + step);
  }

  void check_image(const std::string& step, const Digest& digest) {
    const auto held = session_.holds("image", digest);
    if (!held) return judge("image", "images/" + digest.hex(), held.error(), session_.is_far("images"));
    if (!*held) add("image", "images/" + digest.hex(), "missing: the image of the step " + step);
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

  // A trail outside of the workspace that knows of more entries than the ledger has.
  void check_trail() {
    if (const auto told = session_.mirror_audit(); !told) judge("trail", told.error().where, told.error(), session_.is_far("audit"));
  }

  void check_secrets() {
    const auto unreadable = session_.secrets().verify_all();
    if (!unreadable) return judge("secret", unreadable.error().where, unreadable.error(), session_.is_far("secrets"));
    for (const auto& [name, error] : *unreadable) judge("secret", layout_.secrets() / name, error, session_.is_far("kms"));
    check_strays_in(layout_.secrets(), provider::local::VaultSecretStore::is_file_name);
  }

  // Sealed files that are authentic, but older than what the ledger has seen.
  void check_newest() {
    const auto problems = governance::check_state(session_.workspace(), session_.evidence());
    if (problems) return append(*problems);
    add("state", problems.error().where, problems.error().message);
  }

  void check_identities() {
    for (const auto& identity : session_.workspace().identities().list()) {
      const auto key = session_.workspace().identities().unlock(identity.name);
      // Whoever audits need not hold everybody's credential: that alone is no problem.
      if (!key && key.error().code != ErrorCode::permission_denied) add("identity", "identities/" + identity.name + ".sealed", key.error().message);
    }
    check_strays_in(layout_.identity_keys(), [this](const std::string& name) {
      return name.ends_with(".sealed") && session_.workspace().identities().find(name.substr(0, name.size() - 7)).has_value();
    });
  }

  void check_images() {
    if (!is_there(layout_.images())) {
      const auto built = session_.evidence().of_step("image");
      if (built && !built->empty()) add("image", "images", "the folder of images is missing");
      return;
    }
    auto store = provider::local::LocalImageStore::open(layout_.images());
    if (!store) return add("image", "images", store.error().message);
    for (auto& problem : (*store)->verify_all()) add("image", "images/" + problem.object, problem.kind + ": " + problem.detail);
  }

  // ca.pem is what clients are told to trust; the authority itself is sealed.
  void check_authority() {
    const fs::path file = layout_.root / "ca.pem";
    if (!is_there(file)) return;
    const auto authority = endpoint_authority(session_);
    const auto text = read_text_file(file, 1 << 20);
    if (!authority || !text || *text != authority->certificate) add("authority", "ca.pem", "not the certificate of the workspace's authority");
  }

  // Names of the folder's top that belong to a workspace; what lies below folders is checked by their owners.
  void check_strays() {
    static const std::set<std::string> kKnown = {"workspace.json", "keyring.json", "objects", "secrets", "state", "identities.json", "identities", "ledger", "images", "spool",
                                                 "registry.db", "registry.db.mac", "registry.db.lock", "metrics.db", "access.log", "logs", "run.lock", "ca.pem"};
    check_strays_in(layout_.root, [](const std::string& name) { return kKnown.contains(name) || name.starts_with("endpoint-"); });
  }

  void check_strays_in(const fs::path& folder, const std::function<bool(const std::string&)>& belongs) {
    const auto names = list_folder(folder);
    if (!names) return add("stray", folder, names.error().message);
    for (const auto& name : *names) {
      if (!belongs(name) && !name.ends_with(".lock") && !name.starts_with('.')) add("stray", folder / name, "no part of a workspace");
    }
  }

  Session& session_;
  const governance::WorkspaceLayout& layout_;
  std::vector<std::pair<std::uint64_t, attest::StepRecord>> records_;
  custody::View custody_;
  std::set<std::string> own_prefixes_;
  std::set<std::string> keys_;  // of all objects that the stores list
  std::optional<Error> away_;   // why the far one lists none
  AuditReport report_;
};

}  // namespace

Status AuditReport::sound(const std::string& refused) const {
  if (!problems.empty()) {
    const auto& first = problems.front();
    return fail(ErrorCode::tampered, fmt::format("{}: {} is not what was recorded ({})", refused, first.object, first.detail), first.object, "see everything that was changed with 'redoubt audit verify'");
  }
  const auto first = std::find_if(unchecked.begin(), unchecked.end(), [](const Unchecked& one) { return one.kind != "trail" && one.kind != "own key"; });
  if (first == unchecked.end()) return {};
  Error error = first->why;
  error.message = fmt::format("{}: what is there can not be checked ({}: {}): {}", refused, first->kind, first->count, error.message);
  return fail(std::move(error));
}

AuditReport audit_session(Session& session) { return Auditor(session).run(); }

Result<AuditReport> audit_workspace(const GlobalOptions& options) {
  auto session = Session::open(options);
  if (session) return audit_session(**session);
  if (session.error().code != ErrorCode::tampered) return fail(session.error());
  const governance::WorkspaceLayout layout{options.workspace};
  AuditReport report;
  report.problems.push_back({"workspace", name_in_workspace(layout, session.error().where), session.error().message});
  for (auto& problem : in_ledger(layout, Session::check_ledger(options))) report.problems.push_back(std::move(problem));
  return report;
}

}  // namespace redoubt::cli
