// SPDX-License-Identifier: Apache-2.0
//
// The single rules of a pre-tokenizer, by their type in tokenizer.json.
#pragma once

#include <functional>

#include "engine/tokenizer/pattern.h"
#include "engine/tokenizer/pre_tokenizer.h"

namespace redoubt::engine::tokenizer {

struct ParsedStep {
  PreTokenizerStepPtr step;
  bool removes = false;  // whether it throws text away
};

// Any type but Sequence and ByteLevel; an unknown one is unsupported by its name.
Result<ParsedStep> parse_pre_tokenizer_step(const Json& step, const std::string& type, const std::string& where);

PreTokenizerStepPtr make_prefix_space();
PreTokenizerStepPtr make_byte_writer();
Result<PreTokenizerStepPtr> make_gpt2_splitter(const std::string& where);

// A single character of a file, such as Metaspace's "replacement".
Result<std::string> parse_character(const Json& step, const char* key, const std::string& where);
enum class PrependScheme { always, first, never };
// Metaspace's scheme, with the older "add_prefix_space" beside it.
Result<PrependScheme> parse_prepend_scheme(const Json& step, const std::string& where);

}  // namespace redoubt::engine::tokenizer
