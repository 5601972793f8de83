// SPDX-License-Identifier: Apache-2.0
#include "cli/session.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "cli/compose.h"
#include "cli/prompt.h"
#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "governance/audit_mirror.h"
#include "governance/registry_view.h"
#include "governance/state_change.h"
#include "ledger/verify.h"
#include "pipeline/providers.h"
#include "provider/local/sqlite_registry.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;
constexpr const char* kDefaultIdentity = "operator";
constexpr const char* kProvidersNote = "providers";  // and the ledger's event of the same name

// Notes as sealed files of the workspace's state.
class SealedNotes final : public governance::Notes {
 public:
  explicit SealedNotes(governance::Workspace& workspace) : workspace_(workspace) {}

  Result<std::optional<Json>> load(const std::string& name) override {
    const auto file = TRY(workspace_.state_file(name));
    if (!file.exists()) return std::optional<Json>();
    return std::optional(TRY(file.read_json()));
  }
  Status save(const std::string& name, const Json& value) override { return TRY(workspace_.state_file(name)).write_json(value); }
  Status remove(const std::string& name) override {
    (void)TRY(workspace_.state_file(name));  // checks the name
    std::error_code error;
    fs::remove(workspace_.layout().state() / name, error);
    if (error) return fail_errno(error.value(), "remove", name);
    return {};
  }

 private:
  governance::Workspace& workspace_;
};

std::string& command_name() {
  static std::string name;
  return name;
}

std::optional<fs::path> credentials_of(const GlobalOptions& options) {
  return options.credentials.empty() ? std::nullopt : std::optional<fs::path>(options.credentials);
}

Result<std::optional<provider::local::Passphrase>> passphrase_of(const GlobalOptions& options, bool needed) {
  if (!options.passphrase_file.empty()) return std::optional(provider::local::Passphrase{TRY(read_secret_file(options.passphrase_file))});
  if (needed) return std::optional(provider::local::Passphrase{TRY(read_secret("passphrase of the keyring"))});
  return std::optional<provider::local::Passphrase>();
}

ledger::LedgerOptions ledger_options_of(const governance::Workspace& workspace) {
  return {workspace.layout().ledger(), workspace.credentials() / "checkpoint", "redoubt.local/" + workspace.id()};
}

// One process tells the trail at a time. Whoever waits for one that hangs gives up: what it would have told the next one does.
Result<FileLock> lock_trail(const std::filesystem::path& path, const std::atomic<bool>& has_given_up) {
  constexpr std::chrono::milliseconds kWait = std::chrono::seconds(20), kStep{20};
  const auto end = std::chrono::steady_clock::now() + kWait;
  while (true) {
    auto lock = FileLock::try_acquire(path);
    if (lock || lock.error().code != ErrorCode::unavailable) return lock;
    if (has_given_up || std::chrono::steady_clock::now() >= end) return fail(ErrorCode::unavailable, "another command has been telling the audit trail for long", path.string(), "run 'redoubt audit mirror' when it is done");
    std::this_thread::sleep_for(kStep);
  }
}

}  // namespace

void set_command_name(std::string name) { command_name() = std::move(name); }

void log_trail_problem(const Error& error) { spdlog::error("the audit trail is not up to date: {} ({})", error.message, error.where); }

struct Session::State {
  SystemClock clock;
  GlobalOptions options;
  std::string identity;
  std::unique_ptr<governance::Workspace> workspace;
  std::optional<crypto::SigningKey> ledger_key;
  std::unique_ptr<ledger::EvidenceLog> evidence;
  std::unique_ptr<governance::Notes> notes;  // sealed
  std::unique_ptr<governance::StepRecorder> recorder;
  Duty duty = Duty::audit;
  Status identities_settled;  // whether the identities are those that the ledger tells of
  std::unique_ptr<Providers> providers;
  std::unique_ptr<custody::AccessLog> access_log;
  std::unique_ptr<custody::AccessRecorder> access_recorder;
  std::atomic<bool> has_given_up{false};  // on what is elsewhere
  bool may_have_recorded = false;  // since the audit trail was last brought up to date
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}

Session::~Session() {
  if (state_ == nullptr || !state_->may_have_recorded || state_->providers == nullptr) return;
  if (auto done = mirror_audit(); !done) log_trail_problem(done.error());
}

bool Session::keeps_trail() const { return !pipeline::choice_of(state_->providers->config(), "audit").kind.empty(); }

Result<std::uint64_t> Session::mirror_audit() { return TRY(audit_mirroring())(); }

// What the call uses is safe from several threads: the ledger, and the AWS client behind the trail.
Result<std::function<Result<std::uint64_t>()>> Session::audit_mirroring() {
  state_->may_have_recorded = false;
  auto* sink = TRY(state_->providers->audit_sink());
  return std::function([this, sink]() -> Result<std::uint64_t> {
    if (sink == nullptr) return std::uint64_t{0};
    const auto lock = TRY(lock_trail(state_->workspace->layout().root / "audit.lock", state_->has_given_up));
    return governance::mirror_audit(*state_->evidence, ledger_options().origin, *sink);
  });
}

Result<std::unique_ptr<Session>> Session::create(const GlobalOptions& options, const InitOptions& init) {
  auto state = std::make_unique<State>();
  state->options = options;
  state->duty = Duty::operate;
  governance::Workspace::CreateOptions create;
  create.root = options.workspace;
  create.credentials = credentials_of(options);
  create.passphrase = TRY(passphrase_of(options, false));
  if (!init.identities.empty()) create.identities = init.identities;
  state->identity = options.identity.empty() ? create.identities.front().name : options.identity;
  auto made = governance::Workspace::create(create, state->clock);
  const bool was_there = !made && made.error().code == ErrorCode::already_exists && is_there(governance::WorkspaceLayout{create.root}.description());
  if (!made && !was_there) return fail(made.error());
  std::unique_ptr<Session> session;
  if (was_there) {
    // A making that was cut off before its first ledger entry goes on; anything else is a workspace already.
    session = TRY(open_workspace(options, Duty::operate));
    if (TRY(session->has_entries())) return fail(made.error());
  } else {
    state->workspace = std::move(*made);
    session.reset(new Session(std::move(state)));
  }
  TRY(session->open_ledger(LedgerMode::open_or_create));
  TRY(session->open_providers());
  const auto& layout = session->workspace().layout();
  const Digest description = crypto::sha256(TRY(read_file(layout.description(), 1 << 20)));
  TRY(session->record_event("workspace", {{"workspace", session->workspace().id()}, {"description", description.tagged()},
                                          {"identities", session->workspace().identities().digest().tagged()}}));
  TRY(session->remember_providers());
  (void)TRY(session->registry());
  return session;
}

Result<std::unique_ptr<Session>> Session::open_workspace(const GlobalOptions& options, Duty duty) {
  auto state = std::make_unique<State>();
  state->options = options;
  state->duty = duty;
  state->identity = options.identity.empty() ? kDefaultIdentity : options.identity;
  governance::Workspace::OpenOptions open;
  open.root = options.workspace;
  open.credentials = credentials_of(options);
  open.passphrase = TRY(passphrase_of(options, governance::Workspace::needs_passphrase(options.workspace)));
  state->workspace = TRY(governance::Workspace::open(open, state->clock));
  return std::unique_ptr<Session>(new Session(std::move(state)));
}

Result<std::unique_ptr<Session>> Session::open(const GlobalOptions& options, Duty duty) {
  auto session = TRY(open_workspace(options, duty));
  TRY(session->open_ledger(LedgerMode::open));
  session->settle_identities();
  (void)TRY(session->workspace().identities().find(session->identity()));
  TRY(session->open_providers());
  return session;
}

Result<Session::UnpackedParts> Session::open_unpacked(const GlobalOptions& options) {
  const auto session = TRY(open_workspace(options, Duty::operate));
  const auto file = TRY(session->workspace().state_file("ledger-key"));
  const auto key = TRY(crypto::SigningKey::from_pem(Secret(TRY(file.read()))));
  return UnpackedParts{session->workspace().id(), session->ledger_options(), key.public_key()};
}

Problems Session::check_ledger(const GlobalOptions& options) {
  const auto session = open_workspace(options, Duty::audit);
  if (!session) return {};
  const auto key = (*session)->workspace_key("ledger-key", crypto::SignatureAlgorithm::ed25519);
  if (!key) return {};
  return ledger::verify_ledger((*session)->ledger_options(), key->public_key()).problems;
}

Result<bool> Session::has_entries() {
  const auto opened = open_ledger(LedgerMode::open);
  if (!opened && opened.error().code == ErrorCode::not_found) return false;
  TRY(opened);
  return TRY(evidence().checkpoint()).head.size > 0;
}

Status Session::open_ledger(LedgerMode mode) {
  state_->notes = std::make_unique<SealedNotes>(*state_->workspace);
  state_->ledger_key = TRY(workspace_key("ledger-key", crypto::SignatureAlgorithm::ed25519));
  auto trusted = [&identities = state_->workspace->identities()](std::string_view key_id) -> std::optional<attest::TrustedKey> {
    auto found = identities.find_by_key(key_id);
    if (!found) return std::nullopt;
    return attest::TrustedKey{found->key, found->name};
  };
  auto opened = ledger::EvidenceLog::open(ledger_options(), *state_->ledger_key, trusted);
  const bool is_new = !opened && opened.error().code == ErrorCode::not_found && mode == LedgerMode::open_or_create;
  if (is_new) opened = ledger::EvidenceLog::create(ledger_options(), *state_->ledger_key, trusted);
  state_->evidence = TRY(std::move(opened));
  return {};
}

// Whoever only reads is not kept from it, so that an audit names all that was changed.
void Session::settle_identities() {
  state_->identities_settled = state_->workspace->identities().settle([this]() -> Result<std::optional<Digest>> {
    std::optional<ledger::Evidence> newest;
    for (const char* step : {"workspace", "identity"}) {
      auto entries = TRY(state_->evidence->of_step(step));
      if (!entries.empty() && (!newest || newest->index < entries.back().index)) newest = std::move(entries.back());
    }
    if (!newest) return std::optional<Digest>();
    const auto record = TRY(attest::to_step_record(newest->statement));
    return std::optional(TRY(Digest::parse(TRY(json_string(record.result, "identities", "ledger")))));
  });
}

const Status& Session::identities_settled() const { return state_->identities_settled; }

ledger::LedgerOptions Session::ledger_options() const { return ledger_options_of(*state_->workspace); }

Status Session::act_for(Duty duty) {
  state_->duty = duty;
  return state_->providers->act_for(duty);
}

void Session::give_up_services() {
  state_->has_given_up = true;
  state_->providers->give_up();
}

Status Session::require(governance::Permission permission) const {
  const auto& identities = state_->workspace->identities();
  if (permission != governance::Permission::read_audit) TRY(state_->identities_settled);
  TRY(identities.require(state_->identity, permission));
  // A name is no proof, and what can't be signed must not have been done by then.
  if (permission != governance::Permission::read_audit) (void)TRY(identities.unlock(state_->identity));
  return {};
}

Result<governance::StepRecorder*> Session::recorder() {
  state_->may_have_recorded = true;
  if (state_->recorder == nullptr) {
    TRY(state_->identities_settled);
    auto key = TRY(state_->workspace->identities().unlock(state_->identity));
    const auto still_there = [this](const std::string& name, const Digest& digest) { return holds(name, digest); };
    state_->recorder = std::make_unique<governance::StepRecorder>(*state_->evidence, std::move(key), state_->clock, still_there,
                                                                  governance::StepRecorder::Options{state_->identity, [this](const std::string& step) { state_->access_recorder->step(step); },
                                                                                                      [this](const std::map<std::string, Digest>& outputs) { return tell_remade(outputs); }});
  }
  return state_->recorder.get();
}

// What was deleted by right is there again by right.
Status Session::tell_remade(const std::map<std::string, Digest>& outputs) {
  const auto view = TRY(custody());
  Json again = Json::array();
  for (const auto& [name, digest] : outputs) {
    const bool was_deleted = view.tombstones().contains("manifests/" + digest.hex()) || view.tombstones().contains("blobs/" + digest.hex());
    if (was_deleted) again.push_back(digest.tagged());
  }
  if (!again.empty()) TRY(record_event(custody::kVaultStep, {{"action", "remade"}, {"artifacts", again}}));
  return {};
}

Result<bool> Session::holds(const std::string& output, const Digest& digest) {
  if (output != "image") return store().has(digest);
  const auto image = TRY(images())->resolve(digest.tagged());
  if (!image && image.error().code != ErrorCode::not_found) return fail(image.error());
  return image.has_value();
}

Result<Digest> Session::record_event(const std::string& step, const Json& result, const std::map<std::string, Digest>& outputs) {
  const auto key = TRY(state_->workspace->identities().unlock(state_->identity));
  attest::StepRecord record;
  record.step = step;
  record.identity = state_->identity;
  record.started = record.finished = state_->clock.now();
  record.result = result;
  // Whoever changes the access log up to here contradicts the ledger.
  if (const auto head = TRY(access_log().head()); head.entries > 0) record.parameters["access"] = {{"entries", head.entries}, {"mac", head.mac}};
  record.outputs = outputs;
  record.input_key = crypto::sha256(dump_json({{"event", step}, {"at", to_rfc3339(record.started)}, {"result", result}}));
  const Digest statement = TRY(state_->evidence->append(record, key)).digest;
  state_->may_have_recorded = true;
  return statement;
}

Result<Digest> Session::record_change(const std::string& step, const std::function<Result<Json>()>& body) {
  auto change = TRY(governance::StateChange::begin(*state_->workspace, *state_->evidence));
  if (change->has_leftovers()) {
    TRY(record_event(step, change->with_state({{"action", "recover"}})));
    TRY(change->done());
    change.reset();  // an intent counts only behind the ledger's newest word on its files
    change = TRY(governance::StateChange::begin(*state_->workspace, *state_->evidence));
  }
  const Json result = TRY(body());
  const Digest event = TRY(record_event(step, change->with_state(result)));
  TRY(change->done());
  return event;
}

Result<crypto::SigningKey> Session::workspace_key(const std::string& name, crypto::SignatureAlgorithm algorithm) {
  const auto file = TRY(state_->workspace->state_file(name));
  if (file.exists()) return crypto::SigningKey::from_pem(Secret(TRY(file.read())));
  auto key = crypto::SigningKey::generate(algorithm);
  TRY(file.write(key.to_pem().reveal(SecretAccess::for_storage())));
  return key;
}

Result<crypto::SigningKey> Session::model_key() { return workspace_key("model-key", crypto::SignatureAlgorithm::ecdsa_p256); }
const crypto::SigningKey& Session::ledger_key() const { return *state_->ledger_key; }
const std::string& Session::identity() const { return state_->identity; }
governance::Workspace& Session::workspace() { return *state_->workspace; }
ledger::EvidenceLog& Session::evidence() { return *state_->evidence; }
governance::Notes& Session::notes() { return *state_->notes; }
const Clock& Session::clock() const { return state_->clock; }

Result<provider::ModelRegistry*> Session::registry() {
  auto* registry = TRY(state_->providers->registry());
  TRY(governance::catch_up(*state_->evidence, *registry));
  return registry;
}

Status Session::rebuild_registry() {
  TRY(state_->providers->discard_registry());
  (void)TRY(registry());
  return {};
}

Result<Problems> Session::check_registry() {
  auto* own = TRY(registry());
  const auto folder = TRY(TemporaryFolder::create());
  auto replayed = TRY(provider::local::SqliteRegistry::open({folder.path() / "registry.db", Secret(Bytes(32))}));
  Problems problems;
  for (const auto& difference : TRY(governance::compare_with_ledger(*state_->evidence, *own, *replayed))) problems.push_back({"registry", "registry.db", difference});
  return problems;
}

bool Session::is_far(const char* interface) const {
  const auto kind = pipeline::choice_of(state_->providers->config(), interface).kind;
  return !kind.empty() && kind != "local";
}

provider::ObjectStore& Session::objects() { return state_->providers->objects(); }
vault::ArtifactStore& Session::store() { return state_->providers->artifacts(); }
provider::SecretStore& Session::secrets() { return state_->providers->secrets(); }
Result<std::vector<provider::aws::AccountFinding>> Session::account_findings() { return state_->providers->account_findings(); }
Result<provider::EndpointHost*> Session::endpoint_host() { return state_->providers->endpoint_host(state_->options); }
Result<provider::EndpointMonitor*> Session::endpoint_monitor() { return state_->providers->endpoint_monitor(); }
Result<provider::ImageStore*> Session::images() { return state_->providers->images(); }
Result<provider::ImageFindings*> Session::registry_findings() { return state_->providers->registry_findings(); }
Result<provider::JobRunner*> Session::runner(std::string_view step) { return state_->providers->runner(step); }

Result<std::unique_ptr<provider::Alarms>> Session::alarms(const std::string& environment, int interval_s, const Json& earlier) {
  return state_->providers->alarms(environment, interval_s, *state_->notes, earlier);
}

Result<std::unique_ptr<provider::Notifier>> Session::notifier(const std::string& url, const std::string& ca_file, const std::string& secret_name) {
  return state_->providers->notifier(url, ca_file, secret_name);
}

Status Session::open_providers() {
  const std::string& file = state_->options.providers;
  const Json config = file.empty() ? TRY(state_->notes->load(kProvidersNote)).value_or(Json::object()) : TRY(pipeline::load_providers(file));
  state_->providers = TRY(Providers::create(config, *state_->workspace, state_->clock, state_->duty));
  TRY(watch_reads());
  return use_layers();
}

Status Session::watch_reads() {
  if (state_->access_log == nullptr) {
    const auto& layout = state_->workspace->layout();
    auto key = crypto::hkdf_sha256(state_->ledger_key->to_pem(), view_of(state_->workspace->id()), "redoubt access log v1", 32);
    // Written at any time, so no part of a change of state that the ledger tells of.
    vault::SealedFile head(layout.state() / "access-head", state_->workspace->sealing_key(), {{"workspace", state_->workspace->id()}, {"kind", "state"}, {"name", "access-head"}});
    state_->access_log = std::make_unique<custody::AccessLog>(custody::AccessLog::Options{layout.root / "access.log", std::move(key), std::move(head)});
    state_->access_recorder = std::make_unique<custody::AccessRecorder>(*state_->access_log, state_->clock, state_->identity, command_name());
  }
  state_->providers->on_read([this](const std::string& object, std::uint64_t bytes) { return state_->access_recorder->record(object, bytes); });
  return {};
}

// The stores that the vault's policy names. One that is away does not keep the workspace from opening: what it would have got is made
// up by 'vault replicate', and what only it holds is not found.
Status Session::use_layers() {
  const auto view = custody();
  const auto rules = view ? custody::Rules::of(*view) : Result<custody::Rules>(fail(view.error()));
  if (!rules) {
    spdlog::error("the vault's rules can't be read: {} ({})", rules.error().message, rules.error().where);
    return {};
  }
  const auto store_at = [this](const std::string& uri) -> provider::ObjectStore* {
    if (uri.empty()) return nullptr;
    auto store = state_->providers->store_at(uri);
    if (!store) spdlog::warn("a store of the vault's policy is away: {} ({})", store.error().message, store.error().where);
    return store ? *store : nullptr;
  };
  state_->providers->set_layers(rules->replicate_on_write ? store_at(rules->replica) : nullptr, store_at(rules->archive));
  return {};
}

Result<custody::View> Session::custody() { return custody::View::replay(*state_->evidence); }
custody::AccessLog& Session::access_log() { return *state_->access_log; }
Providers& Session::providers() { return *state_->providers; }

Result<custody::AccessHead> Session::anchored_access() {
  const std::uint64_t size = TRY(state_->evidence->checkpoint()).head.size;
  for (std::uint64_t index = size; index-- > 0;) {
    const auto record = TRY(attest::to_step_record(TRY(state_->evidence->at(index)).statement));
    const Json head = json_or(record.parameters, "access", Json::object());
    if (!head.empty()) return custody::AccessHead{static_cast<std::uint64_t>(TRY(json_integer(head, "entries", "ledger"))), TRY(json_string(head, "mac", "ledger"))};
  }
  return custody::AccessHead{};
}

Result<custody::Stores> Session::stores() {
  const auto view = TRY(custody());
  const auto rules = TRY(custody::Rules::of(view));
  custody::Stores stores;
  stores.evidence = state_->evidence.get();
  stores.objects = [this, archive = rules.archive](const std::string& role) -> Result<provider::ObjectStore*> {
    if (role == custody::kObjects) return &state_->providers->first_objects();
    if (!archive.empty()) return state_->providers->store_at(archive);
    return fail(ErrorCode::not_found, "the vault's policy names no archive", "policy: vault.archive", "name one, such as archive: file:/srv/redoubt-archive");
  };
  stores.artifacts = [this, objects = stores.objects](const std::string& role, const custody::Place& place) -> Result<vault::ArtifactStore*> {
    std::string uri;
    if (!place.own_key.empty()) {
      const auto now = TRY(custody());
      const auto key = now.own_keys().find(place.own_key);
      if (key == now.own_keys().end()) return fail(ErrorCode::not_found, "the ledger knows no such key", place.own_key);
      uri = key->second.uri;
    }
    return state_->providers->artifacts_in(*TRY(objects(role)), place.prefix(), uri);
  };
  stores.record = [this](const Json& event) -> Result<std::uint64_t> { return TRY(state_->evidence->find(TRY(record_event(custody::kVaultStep, event)))).index; };
  return stores;
}

Status Session::use_providers(const Json& config) {
  state_->providers = TRY(Providers::create(config, *state_->workspace, state_->clock, state_->duty));
  TRY(watch_reads());
  TRY(use_layers());
  return remember_providers();
}

Status Session::remember_providers() {
  const Json& config = state_->providers->config();
  if (TRY(state_->notes->load(kProvidersNote)).value_or(Json::object()) == config) return {};
  TRY(record_event(kProvidersNote, {{"providers", config}}));
  return state_->notes->save(kProvidersNote, config);
}

Problems Session::check_providers() {
  const auto told = [this]() -> Result<Json> {
    const auto entries = TRY(state_->evidence->of_step(kProvidersNote));
    if (entries.empty()) return Json::object();
    return json_or(TRY(attest::to_step_record(entries.back().statement)).result, "providers", Json::object());
  };
  const auto expected = told();
  const auto remembered = state_->notes->load(kProvidersNote);
  if (!expected) return {{"ledger", expected.error().where, expected.error().message}};
  if (!remembered) return {{"state", "state/providers", remembered.error().message}};
  if (remembered->value_or(Json::object()) == *expected) return {};
  return {{"state", "state/providers", "other providers than the ledger told of last"}};
}

}  // namespace redoubt::cli
