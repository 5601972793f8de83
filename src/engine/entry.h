// SPDX-License-Identifier: Apache-2.0
//
// The engine's command line: `redoubt-engine ENTRY [--root DIR]`.
#pragma once

namespace redoubt::engine {

// Runs one entry point and answers the process's exit status: 0 done, else as the contract maps the error's code. The failure
// goes to stderr and to ROOT/output/failure. No exception leaves it.
int run(int argc, char** argv);

}  // namespace redoubt::engine
