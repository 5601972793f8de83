// SPDX-License-Identifier: Apache-2.0
//
// One row to tokens.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "engine/chat_template/chat_template.h"
#include "engine/data/examples.h"
#include "engine/data/options.h"
#include "engine/tokenizer/tokenizer.h"
#include "rows/row.h"

namespace redoubt::engine::data {

// What a row is written with. The template may be null if no row has messages.
struct Encoder {
  const tokenizer::Tokenizer& tokenizer;
  const chat_template::ChatTemplate* chat_template = nullptr;
  std::optional<std::int64_t> now = {};  // what a template's date is of, for all rows; seconds since 1970, UTC. None: each time the clock's
  std::string end_token = {};  // what ends a plain text; end_of_text tells it
};

// The text of a model's end-of-sequence token: as tokenizer_config.json names it, else of the first of `end_tokens`, which config.json
// names. Empty where neither does.
std::string end_of_text(const tokenizer::Tokenizer& tokenizer, std::string_view named, std::span<const std::int32_t> end_tokens);

// A plain text with its end-of-sequence token, of which one that ends so already gets no second: as TRL writes it.
std::string ended(std::string text, std::string_view end_token);

// What the template writes of a row's messages; its refusals name the row too.
Result<chat_template::MarkedText> render_row(const chat_template::ChatTemplate& chat_template, const std::vector<chat_template::Message>& messages,
                                             const chat_template::Extras& extras, const std::string& where);

// Words split at white space.
std::size_t count_words(std::string_view text);

// The tokens of a whole row, not cut to any length.
// - messages: as the template writes them; an answer's tokens are all that it writes after the generation prompt of the turns before.
// - prompt and completion: the completion counts, and the end-of-sequence token after it. Before them stands what the tokenizer puts
//   before a plain text (the beginning-of-sequence token of some models).
// - text: all tokens but the first count, and the end-of-sequence token. It begins as a prompt does.
// Which turns count follows `loss_on`; a turn with "train": false never does, but under `all`. invalid_argument with `where` for
// an answer that is empty, for nothing that counts, and for a preference or multiple choice, which are not trained on this way;
// unsupported where a template writes earlier turns another way once more follow, so that it can't be told what they are.
Result<Example> encode_row(const Encoder& encoder, const rows::Row& row, LossOn loss_on, const std::string& where);

// A text's tokens, made with `special`, cut at byte `border`: how many lie wholly before it. Where a token goes over the border, it does not.
Result<std::size_t> tokens_before(const tokenizer::Tokenizer& tokenizer, std::string_view text, std::size_t border, const std::vector<std::int32_t>& ids,
                                  tokenizer::SpecialTokens special);

}  // namespace redoubt::engine::data
