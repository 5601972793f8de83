// SPDX-License-Identifier: Apache-2.0
//
// Which model a new one must not be worse than.
#pragma once

#include <optional>

#include "cli/session.h"
#include "stages/evaluate/evaluate.h"

namespace redoubt::cli {

// The newest version of the model that is deployed, as its signed statements name it; nothing where none is. Where the trained weights at
// hand are in production already, it is what that version was compared with, so that a pipeline that runs again repeats its answer.
Result<std::optional<stages::evaluate::Production>> production_of(Session& session, const std::string& name, const Digest& trained);

}  // namespace redoubt::cli
