// SPDX-License-Identifier: Apache-2.0
#include "engine/model/vocabulary.h"

namespace redoubt::engine::model {

Status check_vocabulary(const tokenizer::Tokenizer& tokenizer, const Config& config, const std::filesystem::path& folder) {
  for (auto id = static_cast<std::int32_t>(config.vocabulary); id < tokenizer.vocabulary_size(); ++id) {
    if (tokenizer.token_bytes(id).empty() || tokenizer.is_special(id)) continue;
    return fail(ErrorCode::invalid_argument,
                "the tokenizer's vocabulary does not match the model's: it has token " + std::to_string(id) +
                    ", the model's vocab_size is " + std::to_string(config.vocabulary),
                (folder / "tokenizer.json").string(), "give the model its own tokenizer.json");
  }
  return {};
}

}  // namespace redoubt::engine::model
