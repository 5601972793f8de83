// SPDX-License-Identifier: Apache-2.0
//
// OpenAI's chat and completion requests (platform.openai.com/docs/api-reference), and SageMaker's invocations, read strictly. A
// field that this server does not know or cannot honour is refused, never ignored, unless it has the value that means
// "nothing".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace redoubt::openai {

struct ChatMessage {
  std::string role, content;
};

struct GenerateRequest {
  std::vector<ChatMessage> messages;  // of a chat; empty when `prompt` is given
  std::optional<std::string> prompt;
  int max_tokens = 512;
  double temperature = 1.0;
  double top_p = 1.0;
  int top_k = 0;  // 0: no limit
  std::optional<std::int64_t> seed;
  std::vector<std::string> stop;
  bool greedy = false;
};

struct RequestLimits {
  std::size_t messages_max = 256;
  std::size_t prompt_bytes_max = 256 << 10;  // of all messages together
  int answer_tokens_max = 4096;
  int answer_tokens_default = 512;
  int top_k_max = 1000;
  std::size_t stop_max = 4;
  std::size_t stop_bytes_max = 256;
  std::string model_default = {};  // of a request that names no model; empty: it has to name one
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

}  // namespace redoubt::openai
