// SPDX-License-Identifier: Apache-2.0
//
// This program as an endpoint's process: `redoubt endpoint run` with the options of whoever starts it.
#pragma once

#include "cli/command.h"
#include "provider/local/endpoint_process.h"

namespace redoubt::cli {

provider::local::EndpointProgram endpoint_program(const GlobalOptions& options, const std::string& environment);

// The process of an environment, to look at or to tell something; on this machine or nowhere.
inline provider::local::EndpointProcess endpoint_process(const GlobalOptions& options, const std::string& environment) {
  return provider::local::EndpointProcess(options.workspace, environment);
}

}  // namespace redoubt::cli
