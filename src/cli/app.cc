// SPDX-License-Identifier: Apache-2.0
#include "cli/app.h"

#include <fmt/format.h>
#include <signal.h>

#include <cstdlib>

#include "base/log.h"
#include "base/schema.h"
#include "cli/commands.h"
#include "cli/session.h"

namespace redoubt::cli {
namespace {

constexpr const char* kDescription =
    "Redoubt takes a large language model from download to a monitored HTTPS endpoint and leaves signed proof of every step.";
constexpr const char* kFooter =
    "Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused by a gate, 4 tampered, 5 not permitted,\n"
    "6 waiting for a person, 7 undecided. Start with 'redoubt init', then 'redoubt run PIPELINE.yaml'.";

void add_global_options(CLI::App& app, GlobalOptions& options, bool& verbose) {
  app.add_option("--workspace", options.workspace, "the workspace's folder (default: $REDOUBT_WORKSPACE, else ./.redoubt)");
  app.add_option("--as", options.identity, "the identity that acts (default: operator)");
  app.add_option("--credentials", options.credentials, "the folder of the key files (default: ~/.config/redoubt/<workspace id>)");
  app.add_option("--passphrase-file", options.passphrase_file, "a file with the keyring's passphrase");
  app.add_option("--providers", options.providers, "a file that says which providers are used, such as config/providers.aws.yaml; init and run remember it");
  app.add_flag("--json", options.json, "results as one JSON document on stdout");
  app.add_flag("--verbose", verbose, "tell more on stderr");
}

void add_commands(CLI::App& app, Invocation& invocation) {
  add_workspace_commands(app, invocation);
  add_doctor_command(app, invocation);
  add_backup_commands(app, invocation);
  add_run_command(app, invocation);
  add_secret_commands(app, invocation);
  add_hub_commands(app, invocation);
  add_model_commands(app, invocation);
  add_data_commands(app, invocation);
  add_vault_commands(app, invocation);
  add_image_commands(app, invocation);
  add_engine_commands(app, invocation);
  add_registry_commands(app, invocation);
  add_runs_commands(app, invocation);
  add_deploy_commands(app, invocation);
  add_top_command(app, invocation);
  add_guard_commands(app, invocation);
  add_capture_commands(app, invocation);
  add_watch_commands(app, invocation);
  add_audit_commands(app, invocation);
  add_aws_commands(app, invocation);
  add_release_commands(app, invocation);
}

std::string command_of(const CLI::App& app) {
  std::string text;
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    text += (text.empty() ? "" : " ") + at->get_name();
  }
  return text;
}

// The word that stands where a command belongs and is none; nothing where none stands there.
std::optional<Error> unknown_command(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  std::vector<std::string> known;
  for (const auto* command : at->get_subcommands([](const CLI::App*) { return true; })) known.push_back(command->get_name());
  const auto left = app.remaining(true);
  if (known.empty() || left.empty() || left.front().starts_with('-')) return std::nullopt;
  const std::string group = command_of(app);
  const auto near = nearest_word(left.front(), known);
  return Error{ErrorCode::invalid_argument, fmt::format("there is no command '{}'", group.empty() ? left.front() : group + " " + left.front()), "command line",
               near.empty() ? fmt::format("see 'redoubt {}--help'", group.empty() ? "" : group + " ") : fmt::format("did you mean '{}'?", near)};
}

int usage_error(const CLI::ParseError& problem, const CLI::App& app, const GlobalOptions& options) {
  if (problem.get_exit_code() == 0) return app.exit(problem);  // --help and --version
  const auto unknown = unknown_command(app);
  return Output(options.json).error(unknown ? *unknown : Error{ErrorCode::invalid_argument, problem.what(), "command line", "see 'redoubt --help' or 'redoubt COMMAND --help'"});
}

// Nothing of ours throws; what a library throws past us (no memory left) still ends with a message and an exit status.
Result<int> run_command(Invocation& invocation, const Output& output) {
  try {
    return invocation.run(output);
  } catch (const std::exception& problem) {
    return fail(ErrorCode::internal, std::string("unexpected: ") + problem.what(), "redoubt " REDOUBT_VERSION, "run it again with --verbose, and report it");
  }
}

}  // namespace

int run(int argc, char** argv) {
  hold_standard_streams();
  ::signal(SIGPIPE, SIG_IGN);
  CLI::App app(kDescription, "redoubt");
  app.footer(kFooter);
  app.set_version_flag("--version", "redoubt " REDOUBT_VERSION);
  app.require_subcommand(1);
  Invocation invocation;
  bool verbose = false;
  add_global_options(app, invocation.global, verbose);
  app.fallthrough();  // commands inherit it: global options may stand behind a command too
  add_commands(app, invocation);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    return usage_error(problem, app, invocation.global);
  }
  set_command_name(command_of(app));
  set_up_log(verbose ? spdlog::level::debug : spdlog::level::warn);
  if (invocation.global.workspace.empty()) {
    const char* from_environment = std::getenv("REDOUBT_WORKSPACE");
    invocation.global.workspace = from_environment != nullptr && *from_environment != '\0' ? from_environment : ".redoubt";
  }
  const Output output(invocation.global.json);
  const auto exit_code = run_command(invocation, output);
  invocation.progress.end();
  const int ended = exit_code ? *exit_code : output.error(exit_code.error());
  if (ended != 0) return ended;
  const auto finished = finish_output();
  return finished ? 0 : output.error(finished.error());
}

}  // namespace redoubt::cli
