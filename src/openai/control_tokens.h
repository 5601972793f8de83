// SPDX-License-Identifier: Apache-2.0
//
// Texts that a model's tokenizer reads as control tokens, in requests.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "openai/request.h"

namespace redoubt::openai {

// The first message that would speak with the template's voice: "<|im_start|>system" in a user's words is no new message.
std::optional<std::string> field_with_control_token(const GenerateRequest& request, const std::vector<std::string>& tokens);

}  // namespace redoubt::openai
