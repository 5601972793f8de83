// SPDX-License-Identifier: Apache-2.0
#include "engine/tokenizer/model.h"

#include "engine/tokenizer/bpe.h"
#include "engine/tokenizer/unigram.h"
#include "engine/tokenizer/word_piece.h"

namespace redoubt::engine::tokenizer {

Result<std::unique_ptr<Model>> parse_model(const Json& model, const std::string& where) {
  // Older files do not name it.
  std::string type = "BPE";
  if (model.contains("type")) {
    type = TRY(json_string(model, "type", where + ": model"));
  } else if (model.contains("vocab") && model["vocab"].is_array()) {
    type = "Unigram";
  } else if (model.contains("continuing_subword_prefix") && !model.contains("merges")) {
    type = "WordPiece";
  }
  if (type == "BPE") return Bpe::parse(model, where);
  if (type == "Unigram") return Unigram::parse(model, where);
  if (type == "WordPiece" || type == "WordLevel") return WordPiece::parse(model, type, where);
  return fail(ErrorCode::unsupported, "the tokenizer is of type " + type.substr(0, 64) + "; known are BPE, Unigram, WordPiece and WordLevel",
              where + ": model");
}

}  // namespace redoubt::engine::tokenizer
