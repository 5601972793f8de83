// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/command.h"

namespace redoubt::cli {

void add_image_registry_commands(CLI::App& group, Invocation& invocation);  // image pull, copy, attach, referrers
void add_image_sign_commands(CLI::App& group, Invocation& invocation);      // image sign, verify
void add_image_encrypt_commands(CLI::App& group, Invocation& invocation);   // image encrypt, decrypt

}  // namespace redoubt::cli
