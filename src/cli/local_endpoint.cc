// SPDX-License-Identifier: Apache-2.0
#include "cli/local_endpoint.h"

namespace redoubt::cli {

provider::local::EndpointProgram endpoint_program(const GlobalOptions& options, const std::string& environment) {
  provider::local::EndpointProgram program;
  program.arguments = {"redoubt", "--workspace", std::filesystem::absolute(options.workspace).string()};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) program.arguments.insert(program.arguments.end(), {name, value});
  };
  add("--as", options.identity);
  add("--credentials", options.credentials);
  add("--passphrase-file", options.passphrase_file);
  program.arguments.insert(program.arguments.end(), {"endpoint", "run", "--environment", environment});
  return program;
}

}  // namespace redoubt::cli
