// SPDX-License-Identifier: Apache-2.0
//
// The single rules of a decoder, by their type in tokenizer.json.
#pragma once

#include "engine/tokenizer/decoder.h"

namespace redoubt::engine::tokenizer {

struct ParsedDecoderStep {
  DecoderStep step;
  bool fuses = false;  // whether one token comes out for all that go in
};

// Any type but Sequence. `fused` says that the step gets one token, in fragments.
Result<ParsedDecoderStep> parse_decoder_step(const Json& step, const std::string& type, bool fused, const std::string& where);
// For a file without a decoder: spaces between tokens.
DecoderStep make_spacing();

}  // namespace redoubt::engine::tokenizer
