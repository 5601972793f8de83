// SPDX-License-Identifier: Apache-2.0
//
// The single rules of a normalizer, by their type in tokenizer.json.
#pragma once

#include "engine/tokenizer/normalizer.h"

namespace redoubt::engine::tokenizer {

using NormalizerStepPtr = std::unique_ptr<NormalizerStep>;

// Any type but Sequence; an unknown one is unsupported by its name.
Result<NormalizerStepPtr> parse_normalizer_step(const Json& step, const std::string& type, const std::string& where);

NormalizerStepPtr make_bert_normalizer(bool cleans, bool spaces_chinese, bool strips_accents, bool lowers);
Result<NormalizerStepPtr> make_precompiled(const Json& step, const std::string& where);

}  // namespace redoubt::engine::tokenizer
