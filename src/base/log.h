// SPDX-License-Identifier: Apache-2.0
//
// Diagnostics on stderr through spdlog. Never a secret, a prompt, an answer or a row of training data.
#pragma once

// Its code is linked: compiled into each unit that logs, it and all of fmt would take longer than the unit itself.
#define SPDLOG_COMPILED_LIB
#include <spdlog/spdlog.h>

namespace redoubt {

// Plain lines on stderr, one process-wide logger. Called once from main; tests may leave it out.
void set_up_log(spdlog::level::level_enum level);

}  // namespace redoubt
