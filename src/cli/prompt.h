// SPDX-License-Identifier: Apache-2.0
//
// Secrets typed by a person or piped in; never echoed, never an argument.
#pragma once

#include <filesystem>
#include <string>

#include "base/secret.h"

namespace redoubt::cli {

// From the terminal without echo, after `what`, or all of stdin where that is none. One trailing newline is dropped; an empty
// value is invalid_argument, one of more than 64 KiB limit_exceeded.
Result<Secret> read_secret(const std::string& what);
Result<Secret> read_secret_file(const std::filesystem::path& file);

}  // namespace redoubt::cli
