// SPDX-License-Identifier: Apache-2.0
//
// OpenAI's chat and completion requests, read strictly, and the answers' JSON (platform.openai.com/docs/api-reference). A
// field that this server does not know or cannot honour is refused, never ignored, unless it has the value that means
// "nothing".
#pragma once

#include <string>

#include "gateway/worker.h"

namespace redoubt::gateway {

struct RequestLimits {
  std::size_t messages_max = 256;
  std::size_t prompt_bytes_max = 256 << 10;  // of all messages together
  int answer_tokens_max = 4096;
  int answer_tokens_default = 512;
  int top_k_max = 1000;
  std::size_t stop_max = 4;
  std::size_t stop_bytes_max = 256;
};

enum class Protocol { chat, completion, inputs };  // `inputs`: Hugging Face's {"inputs", "parameters"} on /invocations

struct CompletionRequest {
  Protocol protocol = Protocol::chat;
  std::string model;  // as the client named it; may be empty for `inputs`
  GenerateRequest generate;
  bool stream = false;
  bool include_usage = false;  // stream_options.include_usage
};

// Error::where names the parameter. invalid_argument, limit_exceeded (too long) or unsupported; all mean status 400.
Result<CompletionRequest> parse_chat_request(const std::string& body, const RequestLimits& limits);
Result<CompletionRequest> parse_completion_request(const std::string& body, const RequestLimits& limits);
// SageMaker's /invocations: a chat body, a completion body, or {"inputs", "parameters"}.
Result<CompletionRequest> parse_invocation(const std::string& body, const RequestLimits& limits);

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

}  // namespace redoubt::gateway
