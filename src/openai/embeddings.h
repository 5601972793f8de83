// SPDX-License-Identifier: Apache-2.0
//
// OpenAI's embeddings (platform.openai.com/docs/api-reference/embeddings): the request read strictly, and the answer.
#pragma once

#include <string>
#include <vector>

#include "openai/request.h"

namespace redoubt::openai {

// Errors as those of the other requests (request.h).
Result<CompletionRequest> parse_embedding_request(const std::string& body, const RequestLimits& limits);

// A text's embedding comes from the engine as floats of four bytes, the lowest first, in base64; this gives the numbers.
std::vector<float> numbers_of_embedding(const std::string& base64);

// `embeddings`: of each text, in their order, as they come from the engine.
std::string embeddings_body(const std::string& model, const std::vector<std::string>& embeddings, bool as_base64, int prompt_tokens);

}  // namespace redoubt::openai
