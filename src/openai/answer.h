// SPDX-License-Identifier: Apache-2.0
//
// The answers' JSON, as OpenAI's clients read it: whole, as server-sent events, and errors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "openai/request.h"

namespace redoubt::openai {

struct GenerateEnd {
  std::string finish_reason;  // "stop", "length" or "cancelled"
  int prompt_tokens = 0, completion_tokens = 0;
};

// {"error": {"message", "type", "param", "code"}}; an empty `param` or `code` is null.
std::string error_body(const std::string& message, const std::string& type, const std::string& param,
                       const std::string& code);

// What every answer to one request shares.
struct AnswerFrame {
  Protocol protocol = Protocol::chat;
  std::string id, model;
  std::int64_t created = 0;  // seconds
};
std::string answer_body(const AnswerFrame& frame, const std::string& text, const GenerateEnd& end);
// Server-sent events, each with its "data: " and empty line.
std::string stream_begin(const AnswerFrame& frame);
std::string stream_token(const AnswerFrame& frame, std::string_view text);
std::string stream_end(const AnswerFrame& frame, const GenerateEnd& end, bool include_usage);
std::string stream_error(const std::string& error_body);

}  // namespace redoubt::openai
