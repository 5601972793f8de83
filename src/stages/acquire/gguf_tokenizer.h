// SPDX-License-Identifier: Apache-2.0
//
// The tokenizer's files out of a GGUF file's metadata.
#pragma once

#include "base/json.h"
#include "weights/gguf.h"

namespace redoubt::stages::acquire {

struct TokenizerFiles {
  std::string tokenizer;  // tokenizer.json
  Json config;            // tokenizer_config.json, with the chat template
  Json special_tokens;    // special_tokens_map.json
};

// Byte-level BPE ("gpt2") that cuts words as smollm, llama-bpe, gpt-2 or default does; others are unsupported by their name.
Result<TokenizerFiles> make_tokenizer(const weights::GgufHeader& header);

}  // namespace redoubt::stages::acquire
