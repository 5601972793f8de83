// SPDX-License-Identifier: Apache-2.0
//
// redoubt init, status, identity, keys.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/key_age.h"
#include "cli/session.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;

struct WorkspaceOptions {
  std::vector<std::string> identities;  // NAME:ROLE[,ROLE]
  std::string name;
  std::vector<std::string> roles;
};

Result<std::set<governance::Role>> parse_roles(const std::vector<std::string>& texts) {
  std::set<governance::Role> roles;
  for (const auto& text : texts) roles.insert(TRY(governance::parse_role(text)));
  return roles;
}

Result<governance::Workspace::NewIdentity> parse_identity(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == text.npos) return fail(ErrorCode::invalid_argument, "not NAME:ROLE", text, "such as --identity alice:operator --identity bob:reviewer,auditor");
  std::vector<std::string> roles;
  for (std::size_t from = colon + 1; from <= text.size();) {
    const auto comma = std::min(text.find(',', from), text.size());
    roles.push_back(text.substr(from, comma - from));
    from = comma + 1;
  }
  auto parsed = TRY(parse_roles(roles));
  return governance::Workspace::NewIdentity{text.substr(0, colon), std::move(parsed)};
}

std::string roles_text(const governance::Identity& identity) {
  std::string out;
  for (auto role : identity.roles) out += (out.empty() ? "" : ", ") + std::string(governance::to_string(role));
  return out;
}

Result<int> init(Invocation& invocation, const WorkspaceOptions& options, const Output& output) {
  InitOptions init_options;
  for (const auto& text : options.identities) init_options.identities.push_back(TRY(parse_identity(text)));
  auto session = TRY(Session::create(invocation.global, init_options));
  Json names = Json::array();
  std::string who;
  for (const auto& identity : session->workspace().identities().list()) {
    names.push_back(identity.name);
    who += fmt::format("  {}: {}\n", identity.name, roles_text(identity));
  }
  output.result({{"workspace", fs::absolute(invocation.global.workspace).string()}, {"id", session->workspace().id()},
                 {"credentials", session->workspace().credentials().string()}, {"identities", names}},
                fmt::format("workspace {} in {}\nidentities:\n{}keys in {}: keep a copy of that folder apart, nothing opens the workspace without it\n"
                            "next: redoubt secret put huggingface/api-token, then redoubt run redoubt.yaml",
                            session->workspace().id(), invocation.global.workspace, who, session->workspace().credentials().string()));
  return 0;
}

Result<int> status(Invocation& invocation, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  auto* registry = TRY(session->registry());
  const auto checkpoint = TRY(session->evidence().checkpoint());
  std::map<std::string, int> states;
  for (const auto& version : TRY(registry->list())) ++states[provider::to_string(version.state)];
  Json endpoints = Json::object();
  std::string lines = fmt::format("workspace {} as {}\nledger: {} entries, root {}\n", session->workspace().id(), session->identity(),
                                  checkpoint.head.size, checkpoint.head.root.hex());
  for (const auto& [state, count] : states) lines += fmt::format("versions {}: {}\n", state, count);
  for (const char* environment : {"dev", "staging", "production"}) {
    const auto asked = TRY(session->endpoint_host())->status(environment);
    if (!asked) {  // a host that is away leaves the rest of the workspace to tell of
      endpoints[environment] = {{"state", "unknown"}, {"error", asked.error().message}};
      lines += fmt::format("endpoint {}: unknown, {}\n", environment, asked.error().message);
      continue;
    }
    const auto& endpoint = *asked;
    if (endpoint.state == "stopped" && endpoint.url.empty()) continue;
    endpoints[environment] = endpoint.to_json();
    lines += fmt::format("endpoint {}: {} {} {}/{}\n", environment, endpoint.state, endpoint.url, endpoint.name, endpoint.version);
  }
  const auto keys = key_age(*session);
  lines += keys ? "keys: " + keys->text() + (keys->overdue() ? ", redoubt keys rotate\n" : "\n") : "keys: " + keys.error().message + "\n";
  output.result({{"workspace", session->workspace().id()}, {"identity", session->identity()}, {"entries", checkpoint.head.size},
                 {"root", checkpoint.head.root.hex()}, {"versions", states}, {"endpoints", endpoints}, {"keys", keys ? keys->to_json() : Json()}},
                lines);
  return 0;
}

Result<int> list_identities(Invocation& invocation, const Output& output) {
  auto session = TRY(Session::open(invocation.global));
  TRY(session->identities_settled());
  Json values = Json::array();
  Table table{{"NAME", "ROLES", "KEY"}, {}};
  for (const auto& identity : session->workspace().identities().list()) {
    Json roles = Json::array();
    for (auto role : identity.roles) roles.push_back(governance::to_string(role));
    values.push_back({{"name", identity.name}, {"roles", roles}, {"key_id", identity.key.key_id()}});
    table.rows.push_back({identity.name, roles_text(identity), identity.key.key_id().substr(0, 16)});
  }
  output.result(values, render(table));
  return 0;
}

// Told before the list is in force.
Status record_identities(Session& session, const std::string& action, const governance::Workspace::NewIdentity& changed, const Digest& identities) {
  Json roles = Json::array();
  for (const auto role : changed.roles) roles.push_back(governance::to_string(role));
  TRY(session.record_event("identity", {{"action", action}, {"name", changed.name}, {"roles", roles}, {"identities", identities.tagged()}}));
  return {};
}

Result<int> add_identity(Invocation& invocation, const WorkspaceOptions& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::operate));
  TRY(session->require(governance::Permission::manage_identities));
  auto roles = TRY(parse_roles(options.roles));
  const governance::Workspace::NewIdentity added{options.name, std::move(roles)};
  const auto identity = TRY(session->workspace().identities().add(added.name, added.roles, {}, [&](const Digest& digest) { return record_identities(*session, "add", added, digest); }));
  output.result({{"name", identity.name}, {"key_id", identity.key.key_id()}}, fmt::format("{}: {}", identity.name, roles_text(identity)));
  return 0;
}

Result<int> rotate_keyring(Invocation& invocation, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::operate));
  TRY(session->require(governance::Permission::manage_keys));
  const auto lock = TRY(session->workspace().lock());
  const auto done = TRY(rotate_keys(*session, invocation.progress));
  output.result({{"key", done.key}, {"version", done.version}, {"own_keys", done.own_keys}, {"files", done.files}, {"rewrapped", done.rewrapped}, {"resumed", done.resumed}},
                fmt::format("{}{} has version {}{}; the data keys of {} of {} sealed files were wrapped under it anew", done.resumed ? "an interrupted rotation went on: " : "", done.key, done.version,
                            done.own_keys == 0 ? "" : fmt::format(", and {} keys of datasets a new one", done.own_keys), done.rewrapped, done.files));
  return 0;
}

}  // namespace

void add_workspace_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<WorkspaceOptions>();
  add_command(app, invocation, "init", "Makes a workspace: sealed keyring, vault, ledger, identities",
              [&invocation, options](const Output& output) { return init(invocation, *options, output); })
      ->add_option("--identity", options->identities, "NAME:ROLE[,ROLE]; roles: operator, reviewer, auditor, admin (default: operator, reviewer and admin)");
  add_command(app, invocation, "status", "The workspace at a glance", [&invocation](const Output& output) { return status(invocation, output); });
  CLI::App* identity = app.add_subcommand("identity", "Who may do what")->require_subcommand(1);
  add_command(*identity, invocation, "list", "Names, roles and key ids", [&invocation](const Output& output) { return list_identities(invocation, output); });
  CLI::App* add = add_command(*identity, invocation, "add", "Adds an identity and leaves its key file beside the others",
                              [&invocation, options](const Output& output) { return add_identity(invocation, *options, output); });
  add->add_option("name", options->name, "lower-case letters, digits and '-'")->required();
  add->add_option("--role", options->roles, "operator, reviewer, auditor or admin; may be given several times")->required();
  CLI::App* keys = app.add_subcommand("keys", "The keyring's keys")->require_subcommand(1);
  add_command(*keys, invocation, "rotate", "A new version of the key that wraps data keys, and every data key wrapped under it", [&invocation](const Output& output) { return rotate_keyring(invocation, output); });
}

}  // namespace redoubt::cli
