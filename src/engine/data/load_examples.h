// SPDX-License-Identifier: Apache-2.0
//
// Training data from JSON lines to tokens. A row is {"messages": [{"role", "content"}...]}, {"prompt", "completion"} or
// {"text"}.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/chat_template/chat_template.h"
#include "engine/data/examples.h"
#include "engine/tokenizer/tokenizer.h"

namespace redoubt::engine::data {

// - messages: the last message is the answer; its tokens are all that the template writes after the generation prompt.
// - prompt and completion: the completion, and the end-of-sequence token after it.
// - text: all tokens but the first, and the end-of-sequence token.
// An example of more than `max_length` tokens is cut off there; one whose answer is empty or cut away whole, like any row
// that is not of these forms, is invalid_argument that names the line. `chat_template` may be null if no row has messages.
Result<std::vector<Example>> load_examples(const std::filesystem::path& file, const tokenizer::Tokenizer& tokenizer,
                                           const chat_template::ChatTemplate* chat_template, std::int64_t max_length);

}  // namespace redoubt::engine::data
