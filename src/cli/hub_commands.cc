// SPDX-License-Identifier: Apache-2.0
//
// redoubt hub serve; hub token create, list, revoke; hub gate, grant, ungrant; hub audit.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/mirror_ledger.h"
#include "cli/prompt.h"
#include "hub/server.h"
#include "model_scan/model_scan.h"
#include "stages/acquire/hub_client.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;

struct MirrorOptions {
  std::string root, state, listen = "127.0.0.1:8080", certificate, key, token_file, audit_file, access_log;
  std::string upstream, upstream_ca, upstream_token;
  std::vector<std::string> upstream_hosts;
  int upstream_minutes = 10;
  std::uint64_t size_gib_max = 256;
  std::string name, scope = "read", repository, token;
  std::vector<std::string> repositories;
  int expires_days = 0;
  bool is_off = false, in_ledger = false;
  const GlobalOptions* global = nullptr;
};

// A root that is not there is a slip of the finger, not a new mirror.
Result<fs::path> state_of(const MirrorOptions& options) {
  if (!is_folder(options.root)) return fail(ErrorCode::not_found, "no such folder of models", options.root, "name a folder that holds OWNER/NAME/...");
  return options.state.empty() ? fs::path(options.root) / ".hub" : fs::path(options.state);
}

Result<fs::path> audit_file_of(const MirrorOptions& options) { return options.audit_file.empty() ? TRY(state_of(options)) / "audit.jsonl" : fs::path(options.audit_file); }

// What the scan of every model says to the mirror: one line a finding.
Result<std::vector<std::string>> scan_repository(const hub::Repository& repository) {
  std::vector<model_scan::ScannedFile> files;
  for (const auto& file : repository.files) {
    files.push_back({file.path, [&file]() -> Result<std::unique_ptr<RandomAccess>> {
                       struct Shared final : RandomAccess {
                         explicit Shared(std::shared_ptr<hub::GuardedFile> opened) : guarded(std::move(opened)) {}
                         std::uint64_t size() const override { return guarded->size(); }
                         Status read_at(std::uint64_t offset, MutableByteView into) const override { return guarded->read_at(offset, into); }
                         std::shared_ptr<hub::GuardedFile> guarded;
                       };
                       return std::make_unique<Shared>(TRY(hub::GuardedFile::open(file.location, file.identity)));
                     }});
  }
  std::vector<std::string> findings;
  for (const auto& finding : TRY(model_scan::scan_model(files)).findings) findings.push_back(fmt::format("{}: {}: {}", finding.path, finding.kind, finding.detail));
  return findings;
}

// The hub that models are fetched from when they are first asked for.
class OtherHub final : public hub::Upstream {
 public:
  explicit OtherHub(stages::acquire::HubOptions options) : client_(std::move(options)) {}

  Result<std::string> resolve(const std::string& repository, const std::string& revision) override {
    const auto checked = client_.check(repository, revision);
    if (!checked) return fail(ErrorCode::not_found, checked.error().message, repository);
    return client_.resolve(repository, revision);
  }
  Result<std::vector<Entry>> list(const std::string& repository, const std::string& commit) override {
    std::vector<Entry> entries;
    for (auto& file : TRY(client_.list(repository, commit))) entries.push_back({std::move(file.path), file.size, std::move(file.blob_id), file.sha256});
    return entries;
  }
  Status download(const std::string& repository, const std::string& commit, const Entry& entry, Sink& into) override {
    return client_.download(repository, commit, {entry.path, entry.size, entry.blob_id, entry.sha256}, 0, entry.size, into);
  }

 private:
  stages::acquire::HubClient client_;
};

Status set_upstream(const MirrorOptions& options, hub::Options& hub) {
  if (options.upstream.empty()) return {};
  stages::acquire::HubOptions upstream;
  upstream.endpoint = options.upstream;
  while (upstream.endpoint.ends_with('/')) upstream.endpoint.pop_back();
  upstream.ca_file = options.upstream_ca;
  upstream.allowed_hosts = options.upstream_hosts;
  if (!options.upstream_token.empty()) {
    upstream.token = TRY(read_secret_file(options.upstream_token));
    upstream.read_token_again = [file = options.upstream_token] { return read_secret_file(file); };
  }
  TRY(stages::acquire::HubClient(upstream).check("owner/name", "main"));  // the address
  hub.upstream.upstream = std::make_shared<OtherHub>(std::move(upstream));
  hub.upstream.fresh_for = std::chrono::minutes(options.upstream_minutes);
  hub.upstream.bytes_max = options.size_gib_max << 30;
  return {};
}

Result<hub::Options> serving_options(const MirrorOptions& options) {
  const auto colon = options.listen.rfind(':');
  const int port = colon == options.listen.npos ? -1 : std::atoi(options.listen.c_str() + colon + 1);
  if (port < 0 || port > 65535) return fail(ErrorCode::invalid_argument, "not HOST:PORT", options.listen);
  hub::Options hub;
  hub.root = options.root;
  hub.state = TRY(state_of(options));
  hub.host = options.listen.substr(0, colon);
  hub.port = static_cast<std::uint16_t>(port);
  hub.certificate_pem = TRY(read_text_file(options.certificate, 1 << 20));
  hub.private_key_pem = Secret(TRY(read_text_file(options.key, 1 << 20)));
  if (!options.token_file.empty()) hub.token = TRY(read_secret_file(options.token_file));
  hub.scan = scan_repository;
  hub.scanner = REDOUBT_VERSION;
  hub.audit_file = options.audit_file;
  hub.access_log = options.access_log;
  TRY(set_upstream(options, hub));
  return hub;
}

Result<int> serve(const MirrorOptions& options, const Output& output) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  auto hub = TRY(serving_options(options));
  const std::string host = hub.host;
  std::optional<MirrorLedger> ledger;
  if (options.in_ledger) {
    ledger = TRY(MirrorLedger::open(*options.global, TRY(audit_file_of(options))));
    TRY(ledger->require_known());
  }
  const auto server = TRY(hub::HubServer::start(std::move(hub)));
  output.say(fmt::format("serving {} at https://{}:{}", options.root, host, server->port()));
  const timespec minute{60, 0};
  while (sigtimedwait(&signals, nullptr, &minute) < 0) {
    if (ledger) ledger->tell(server->take_audit());
  }
  server->stop();
  if (ledger) ledger->tell(server->take_audit());
  return 0;
}

// --- tokens

Result<int> create_token(const MirrorOptions& options, const Output& output) {
  hub::Token token;
  token.name = options.name;
  token.role = options.scope == "write" ? hub::Role::write : hub::Role::read;
  token.repositories = options.repositories.empty() ? std::vector<std::string>{"*/*"} : options.repositories;
  token.created = SystemClock().now();
  if (options.expires_days > 0) token.expires = token.created + std::chrono::hours(24 * options.expires_days);
  const fs::path file = TRY(state_of(options)) / hub::kTokensName;
  const Secret made = TRY(hub::TokenFile::create(file, token));
  const std::string text = to_text(made.reveal(SecretAccess::for_user()));
  output.say("this is the only time the token is shown; the mirror keeps its hash");
  output.result({{"name", token.name}, {"token", text}, {"scope", options.scope}, {"repositories", token.repositories}}, text);
  return 0;
}

Result<int> list_tokens(const MirrorOptions& options, const Output& output) {
  Json list = Json::array();
  Table table{{"ID", "NAME", "SCOPE", "REPOSITORIES", "EXPIRES", "STATE"}, {}};
  const auto now = SystemClock().now();
  for (const auto& token : TRY(hub::TokenFile::read(TRY(state_of(options)) / hub::kTokensName))) {
    const std::string expires = token.expires ? to_rfc3339(*token.expires) : "", state = token.is_revoked ? "revoked" : token.expires && *token.expires <= now ? "expired" : "valid";
    list.push_back({{"id", token.id}, {"name", token.name}, {"scope", to_string(token.role)}, {"repositories", token.repositories}, {"created", to_rfc3339(token.created)},
                    {"expires", expires.empty() ? Json() : Json(expires)}, {"state", state}});
    table.rows.push_back({token.id, token.name, to_string(token.role), fmt::format("{}", fmt::join(token.repositories, " ")), expires, state});
  }
  output.result(list, render(table));
  return 0;
}

Result<int> revoke_token(const MirrorOptions& options, const Output& output) {
  TRY(hub::TokenFile::revoke(TRY(state_of(options)) / hub::kTokensName, options.token));
  output.result({{"revoked", options.token}}, "revoked; a mirror that runs refuses it from now on");
  return 0;
}

// --- gates

Result<int> change_gate(const MirrorOptions& options, const Output& output, const std::function<Status(hub::Gates&)>& body) {
  const fs::path file = TRY(state_of(options)) / hub::kGatesName;
  TRY(hub::GateFile::change(file, body));
  const auto gates = TRY(hub::GateFile::read(file));
  const auto found = gates.find(options.repository);
  const Json grants = found == gates.end() ? Json::array() : Json(found->second);
  output.result({{"repository", options.repository}, {"gated", found != gates.end()}, {"grants", grants}},
                found == gates.end() ? options.repository + " is open to every token that covers it" : fmt::format("{} is gated; granted to {} tokens", options.repository, found->second.size()));
  return 0;
}

Result<int> gate(const MirrorOptions& options, const Output& output) {
  const auto slash = options.repository.find('/');
  if (slash == options.repository.npos || slash == 0 || slash + 1 == options.repository.size()) return fail(ErrorCode::invalid_argument, "not OWNER/NAME, nor a pattern of it", options.repository);
  return change_gate(options, output, [&](hub::Gates& gates) -> Status {
    if (options.is_off) {
      gates.erase(options.repository);
    } else {
      gates[options.repository];
    }
    return {};
  });
}

Result<int> grant(const MirrorOptions& options, const Output& output, bool is_given) {
  return change_gate(options, output, [&](hub::Gates& gates) -> Status {
    const auto found = gates.find(options.repository);
    if (found == gates.end()) return fail(ErrorCode::not_found, "the model is not gated", options.repository, "gate it with 'redoubt hub gate OWNER/NAME'");
    if (is_given) {
      found->second.insert(options.token);
    } else if (found->second.erase(options.token) == 0) {
      return fail(ErrorCode::not_found, "no such grant", options.token);
    }
    return {};
  });
}

Result<int> check_audit(const MirrorOptions& options, const Output& output) {
  const auto file = TRY(audit_file_of(options));
  hub::AuditHead known;
  if (options.in_ledger) {
    known = TRY(TRY(MirrorLedger::open(*options.global, file)).known());
    if (known.lines == 0) return fail(ErrorCode::not_found, "the ledger knows nothing of this audit file", file.string(), "serve with '--ledger', as the same workspace");
  }
  const auto check = TRY(hub::check_audit(file, known));
  Json problems = Json::array();
  std::string text;
  for (const auto& problem : check.problems) {
    problems.push_back({{"kind", problem.kind}, {"object", problem.object}, {"detail", problem.detail}});
    text += fmt::format("{}: {}\n", problem.object, problem.detail);
  }
  const std::string anchored = options.in_ledger ? fmt::format("; the ledger knows the first {}", known.lines) : "";
  output.result({{"ok", check.problems.empty()}, {"lines", check.head.lines}, {"last", check.head.last}, {"known_lines", known.lines}, {"problems", problems}},
                check.problems.empty() ? fmt::format("{} lines, every one follows the one before; the last is {}{}", check.head.lines, check.head.last, anchored) : text);
  return check.problems.empty() ? 0 : exit_code_of(ErrorCode::tampered);
}

using MirrorBody = Result<int> (*)(const MirrorOptions&, const Output&);

CLI::App* add_mirror_command(CLI::App& group, Invocation& invocation, const std::shared_ptr<MirrorOptions>& options, const char* name, const char* help, MirrorBody body) {
  CLI::App* command = add_command(group, invocation, name, help, [options, body](const Output& output) { return body(*options, output); });
  command->add_option("--root", options->root, "the mirror's folder")->required();
  command->add_option("--state", options->state, "where the mirror keeps tokens, scans and its audit file (default: ROOT/.hub)");
  return command;
}

void add_serve(CLI::App& group, Invocation& invocation, const std::shared_ptr<MirrorOptions>& options) {
  CLI::App* command = add_mirror_command(group, invocation, options, "serve", "Serves a folder of models, OWNER/NAME/..., through the Hugging Face Hub's HTTP API; only what passes the scan", serve);
  command->add_option("--listen", options->listen, "HOST:PORT; port 0 is any free one");
  command->add_option("--tls-cert", options->certificate, "PEM file, the chain with the leaf first")->required();
  command->add_option("--tls-key", options->key, "PEM file")->required();
  command->add_option("--token-file", options->token_file, "a file with a token that reads every model, beside those of 'hub token create'");
  command->add_option("--audit-file", options->audit_file, "where each download is recorded (default: STATE/audit.jsonl)");
  command->add_flag("--ledger", options->in_ledger, "each minute the workspace's ledger gets what was downloaded, and how far the audit file goes");
  command->add_option("--access-log", options->access_log, "a file that gets a JSON line for each request, without tokens");
  command->add_option("--upstream", options->upstream, "another hub, as https://huggingface.co: models that are not here are fetched from it, scanned, and then served");
  command->add_option("--upstream-token-file", options->upstream_token, "a file with the mirror's token there");
  command->add_option("--upstream-ca-file", options->upstream_ca, "PEM file of that hub's authority");
  command->add_option("--upstream-allow-host", options->upstream_hosts, "a host that it may redirect downloads to");
  command->add_option("--upstream-minutes", options->upstream_minutes, "how long a branch counts as known before it is asked for again (default 10)")->check(CLI::Range(0, 525'600));
  command->add_option("--size-gib-max", options->size_gib_max, "largest model that is fetched from there (default 256)")->check(CLI::Range(1, 1 << 20));
}

void add_tokens(CLI::App& group, Invocation& invocation, const std::shared_ptr<MirrorOptions>& options) {
  CLI::App* tokens = group.add_subcommand("token", "Tokens of a mirror's users")->require_subcommand(1);
  CLI::App* create = add_mirror_command(*tokens, invocation, options, "create", "Makes a token and shows it once", create_token);
  create->add_option("--name", options->name, "whose it is")->required();
  create->add_option("--scope", options->scope, "read or write (default read)")->check(CLI::IsMember({"read", "write"}));
  create->add_option("--repo", options->repositories, "OWNER/NAME or a pattern that it is for, as acme/*; may stand several times (default: all)");
  create->add_option("--expires-days", options->expires_days, "days until it ends (default: never)")->check(CLI::Range(1, 36'500));
  add_mirror_command(*tokens, invocation, options, "list", "Lists tokens, never their text", list_tokens);
  add_mirror_command(*tokens, invocation, options, "revoke", "Ends a token at once", revoke_token)->add_option("token", options->token, "its ID or NAME")->required();
}

}  // namespace

void add_hub_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<MirrorOptions>();
  options->global = &invocation.global;
  CLI::App* group = app.add_subcommand("hub", "A private model mirror: serve, token, gate, grant, ungrant, audit")->require_subcommand(1);
  add_serve(*group, invocation, options);
  add_tokens(*group, invocation, options);
  CLI::App* gate_command = add_mirror_command(*group, invocation, options, "gate", "Lets only tokens with a grant download a model", gate);
  gate_command->add_option("repository", options->repository, "OWNER/NAME, or a pattern")->required();
  gate_command->add_flag("--off", options->is_off, "open it again");
  const std::tuple<const char*, const char*, MirrorBody> grants[] = {
      {"grant", "Grants a token a gated model", [](const MirrorOptions& given, const Output& output) { return grant(given, output, true); }},
      {"ungrant", "Takes a grant back", [](const MirrorOptions& given, const Output& output) { return grant(given, output, false); }}};
  for (const auto& [name, help, body] : grants) {
    CLI::App* command = add_mirror_command(*group, invocation, options, name, help, body);
    command->add_option("repository", options->repository, "as it was gated")->required();
    command->add_option("token", options->token, "the token's NAME or ID")->required();
  }
  CLI::App* audit = add_mirror_command(*group, invocation, options, "audit",
                                       "Checks that no line of the audit file was changed or taken out; exit status 4 when one was", check_audit);
  audit->add_option("--audit-file", options->audit_file, "the file (default: STATE/audit.jsonl)");
  audit->add_flag("--ledger", options->in_ledger, "and that it holds what the workspace's ledger knows of it");
}

}  // namespace redoubt::cli
