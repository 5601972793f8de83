// SPDX-License-Identifier: Apache-2.0
//
// redoubt secret: put, get, list, rotate, delete. Values come from stdin, a file or a terminal, never from an argument.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/prompt.h"
#include "cli/session.h"
#include "rows/lines.h"

namespace redoubt::cli {
namespace {

struct SecretOptions {
  std::string name, file;
  bool at_once = false;
};

Result<std::unique_ptr<Session>> open_for_secrets(Invocation& invocation) {
  auto session = TRY(Session::open(invocation.global, Duty::secrets));
  TRY(session->require(governance::Permission::manage_secrets));
  return session;
}

Result<int> put_secret(Invocation& invocation, const SecretOptions& options, const Output& output) {
  auto session = TRY(open_for_secrets(invocation));
  const Secret value = TRY(options.file.empty() ? read_secret("value of " + options.name) : read_secret_file(options.file));
  provider::SecretInfo info;
  TRY(session->record_change("secret", [&]() -> Result<Json> {
    info = TRY(session->secrets().put(options.name, value));
    return Json{{"action", "put"}, {"name", options.name}, {"version", info.version}};
  }));
  output.result({{"name", info.name}, {"version", info.version}}, fmt::format("{}: version {} is sealed", info.name, info.version));
  return 0;
}

// By the store's own maker of new values where the secret has one, and nobody names another value.
Result<int> rotate_secret(Invocation& invocation, const SecretOptions& options, const Output& output) {
  std::optional<provider::SecretInfo> info;
  {
    auto session = TRY(open_for_secrets(invocation));
    // A slip of the finger would make another secret, and leave the one that was meant as old as it is.
    if (!session->is_far("secrets")) (void)TRY(session->secrets().get(options.name));
    if (options.file.empty()) info = TRY(session->secrets().rotate(options.name));
    if (info) TRY(session->record_event("secret", {{"action", "rotate"}, {"name", options.name}, {"version", info->version}}));
  }
  if (!info) return put_secret(invocation, options, output);
  output.result({{"name", info->name}, {"version", info->version}, {"by", "rotation function"}}, fmt::format("{}: its rotation function made version {}", info->name, info->version));
  return 0;
}

Result<int> get_secret(Invocation& invocation, const SecretOptions& options, const Output& output) {
  auto session = TRY(open_for_secrets(invocation));
  const Secret value = TRY(session->secrets().get(options.name));
  TRY(session->record_event("secret", {{"action", "get"}, {"name", options.name}}));
  const auto text = to_text(value.reveal(SecretAccess::for_user()));
  if (output.json() && rows::first_invalid_utf8(text) != text.npos) {
    return fail(ErrorCode::unsupported, "the value is no UTF-8 text, so JSON can't hold it", options.name, "take it as it is: redoubt secret get " + options.name + " > FILE");
  }
  output.json() ? output.result({{"name", options.name}, {"value", text}}, "") : output.value(text);
  return 0;
}

Result<int> list_secrets(Invocation& invocation, const Output& output) {
  auto session = TRY(open_for_secrets(invocation));
  Json values = Json::array();
  Table table{{"NAME", "VERSION", "CHANGED"}, {}};
  for (const auto& info : TRY(session->secrets().list())) {
    values.push_back({{"name", info.name}, {"version", info.version}, {"changed", to_rfc3339(info.changed)}});
    table.rows.push_back({info.name, std::to_string(info.version), to_rfc3339(info.changed)});
  }
  output.result(values, table.rows.empty() ? "no secrets" : render(table));
  return 0;
}

Result<int> remove_secret(Invocation& invocation, const SecretOptions& options, const Output& output) {
  auto session = TRY(open_for_secrets(invocation));
  std::optional<TimePoint> until;
  TRY(session->record_change("secret", [&]() -> Result<Json> {
    until = TRY(session->secrets().remove(options.name, options.at_once ? provider::Removal::at_once : provider::Removal::recoverable));
    return Json{{"action", "delete"}, {"name", options.name}, {"recoverable", until.has_value()}};
  }));
  const std::string end = until ? to_rfc3339(*until) : "";
  output.result({{"name", options.name}, {"deleted", true}, {"recoverable_until", until ? Json(end) : Json(nullptr)}},
                options.name + (until ? fmt::format(" is deleted; until {} 'redoubt secret put' takes it back", end) : " is deleted"));
  return 0;
}

}  // namespace

void add_secret_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("secret", "Tokens and keys, sealed")->require_subcommand(1);
  auto options = std::make_shared<SecretOptions>();
  const auto add = [&](const char* name, const char* help, auto body) {
    CLI::App* command = add_command(*group, invocation, name, help, [&invocation, options, body](const Output& output) { return body(invocation, *options, output); });
    command->add_option("name", options->name, "such as huggingface/api-token")->required();
    return command;
  };
  add("put", "Stores a value read from stdin, a file or the terminal", put_secret)->add_option("--file", options->file, "read the value from this file");
  add("get", "Writes a value to stdout", get_secret);
  add_command(*group, invocation, "list", "Names and versions, no values", [&invocation](const Output& output) { return list_secrets(invocation, output); });
  add("rotate", "Stores a new version, by the secret's rotation function where it has one; the one before stays readable until the next", rotate_secret)->add_option("--file", options->file, "read the value from this file");
  add("delete", "Deletes all versions; Secrets Manager keeps them for its recovery window", remove_secret)
      ->add_flag("--at-once", options->at_once, "also there at once and for ever");
}

}  // namespace redoubt::cli
