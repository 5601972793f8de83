// SPDX-License-Identifier: Apache-2.0
//
// The engine's `merge`: channels model and adapter in; a model of the base's own format in ROOT/model, which needs no
// adapter.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace redoubt::engine::train {

// Each adapted weight W becomes W + s B A (DoRA: its rows scaled), summed in fp32 and rounded once to the type that W is
// stored in, as PEFT's merge_and_unload does. A failure is also written to ROOT/output/failure.
Status run_merge(const std::filesystem::path& root);

}  // namespace redoubt::engine::train
