// SPDX-License-Identifier: Apache-2.0
//
// One row to tokens.
#pragma once

#include <optional>

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
};

// Words split at white space.
std::size_t count_words(std::string_view text);

// The tokens of a whole row, not cut to any length.
// - messages: as the template writes them; an answer's tokens are all that it writes after the generation prompt of the turns before.
// - prompt and completion: the completion counts, and the end-of-sequence token after it.
// - text: all tokens but the first count, and the end-of-sequence token.
// Which turns count follows `loss_on`; a turn with "train": false never does, but under `all`. invalid_argument with `where` for
// an answer that is empty, for nothing that counts, and for a preference or multiple choice, which are not trained on this way;
// unsupported where a template writes earlier turns another way once more follow, so that it can't be told what they are.
Result<Example> encode_row(const Encoder& encoder, const rows::Row& row, LossOn loss_on, const std::string& where);

// A text's tokens cut at byte `border`: how many tokens lie wholly before it. Where a token goes over the border, it does not.
Result<std::size_t> tokens_before(const tokenizer::Tokenizer& tokenizer, std::string_view text, std::size_t border, const std::vector<std::int32_t>& ids);

}  // namespace redoubt::engine::data
