// SPDX-License-Identifier: Apache-2.0
//
// Whether a folder's tokenizer speaks the language of its model.
#pragma once

#include "engine/model/config.h"
#include "engine/tokenizer/tokenizer.h"

namespace redoubt::engine::model {

// invalid_argument when the tokenizer has a token of text that the model has no row for. Special tokens may lie beyond, as
// the image token of Gemma 3 does in the text model: the model answers an error should one be used.
Status check_vocabulary(const tokenizer::Tokenizer& tokenizer, const Config& config, const std::filesystem::path& folder);

}  // namespace redoubt::engine::model
