// SPDX-License-Identifier: Apache-2.0
//
// Answers that the gateway gives by itself: OpenAI's error bodies, which SageMaker's clients read too.
#pragma once

#include <string>

#include "gateway/budget.h"
#include "http/message.h"

namespace redoubt::gateway {

// Whose client asks. An error for SageMaker's carries its class in x-amzn-ErrorType and its message at the top as well.
enum class Dialect { openai, sagemaker };

http::Response json_response(int status, std::string body, http::Headers headers = {});
http::Response refusal(int status, const std::string& message, const std::string& type, const std::string& code, http::Headers headers = {},
                       const std::string& parameter = "");
http::Response try_later(int status, const std::string& message, const std::string& code, int seconds);
http::Response limit_reached(const BudgetRefusal& refusal);
// SageMaker's class of an error.
const char* aws_error_of(int status);
// An error's body with its message at the top as well, under the name that its reader looks for; whatever is no object stays.
std::string with_aws_message(std::string error_body, const char* member);
http::Response in_dialect(Dialect dialect, http::Response response);

}  // namespace redoubt::gateway
