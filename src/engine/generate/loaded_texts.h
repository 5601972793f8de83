// SPDX-License-Identifier: Apache-2.0
//
// A loaded model as a reader of texts: short ones laid end to end in one pass, a long one some layers at a time.
#pragma once

#include <memory>

#include "engine/generate/loaded_model.h"
#include "engine/generate/text_model.h"

namespace redoubt::engine::generate {

// `context`: tokens of a text at most. `model` must outlive the answer.
std::unique_ptr<TextModel> make_text_model(const LoadedModel& model, std::int64_t context);

}  // namespace redoubt::engine::generate
