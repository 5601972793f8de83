// SPDX-License-Identifier: Apache-2.0
//
// How a command joins the command line. Each command is one file with one `add_...` function, named in commands.h; it
// declares its options and leaves in `Invocation::run` what is to be done once the line is parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"
#include "cli/output.h"
#include "cli/progress_bar.h"

namespace redoubt::cli {

// The options that stand before the command.
struct GlobalOptions {
  std::string workspace;        // --workspace, else $REDOUBT_WORKSPACE, else ./.redoubt
  std::string identity;         // --as; empty: operator
  std::string credentials;      // --credentials: folder of the key files; empty: ~/.config/redoubt/<workspace id>
  std::string passphrase_file;  // --passphrase-file: opens a keyring sealed by a passphrase
  std::string providers;        // --providers: what stands behind the interfaces; empty: what the workspace used last
  bool json = false;
};

struct Invocation {
  GlobalOptions global;
  ProgressBar progress;
  // Answers the exit code, or the error that decides it.
  std::function<Result<int>(const Output&)> run;
};

// Adds `name` below `parent` with its help; `body` runs when the command line names it.
inline CLI::App* add_command(CLI::App& parent, Invocation& invocation, const char* name, const char* help,
                             std::function<Result<int>(const Output&)> body) {
  CLI::App* command = parent.add_subcommand(name, help);
  command->callback([&invocation, body = std::move(body)] { invocation.run = body; });
  return command;
}

}  // namespace redoubt::cli
