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

// `embeddings`: of each text, in their order, its numbers as floats of four bytes, the lowest first, in base64.
std::string embeddings_body(const std::string& model, const std::vector<std::string>& embeddings, bool as_base64, int prompt_tokens);

}  // namespace redoubt::openai
