// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/vocabulary.h"

namespace redoubt::engine::tokenizer {

Result<Vocabulary> Vocabulary::parse(const Json& model, const std::string& where) {
  const auto field = where + ": model.vocab";
  const auto found = model.find("vocab");
  if (found == model.end() || !found->is_object() || found->empty())
    return fail(ErrorCode::invalid_argument, "there is no vocabulary", field);
  Vocabulary made;
  made.ids_.reserve(found->size());
  for (const auto& [token, id] : found->items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= kVocabularyMax)
      return fail(ErrorCode::invalid_argument, "the id of '" + token + "' is not a number below 2,000,000", field);
    const auto number = id.get<std::size_t>();
    if (number >= made.tokens_.size()) made.tokens_.resize(number + 1);
    if (!made.tokens_[number].empty())
      return fail(ErrorCode::invalid_argument, "the tokens '" + made.tokens_[number] + "' and '" + token + "' have one id", field);
    made.tokens_[number] = token;
    made.ids_.emplace(token, static_cast<std::int32_t>(number));
  }
  return made;
}

}  // namespace redoubt::engine::tokenizer
