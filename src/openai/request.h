// SPDX-License-Identifier: Apache-2.0
//
// OpenAI's chat and completion requests (platform.openai.com/docs/api-reference), and SageMaker's invocations, read strictly. A
// field that this server does not know or cannot honour is refused, never ignored, unless it has the value that means
// "nothing".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "json_schema/grammar.h"
#include "openai/tools.h"

namespace redoubt::openai {

struct ChatMessage {
  std::string role, content;  // of all its parts together
  std::string json = {};  // a message with tool calls, a tool's, or one with a name: the whole of it as the chat template reads it, which then counts alone
  std::size_t parts = 1;      // that the content came in
};

// A text that is read for its embedding: as such, or as tokens.
struct TextInput {
  std::string text = {};
  std::vector<std::int32_t> tokens = {};  // empty: `text` counts
};

struct GenerateRequest {
  std::vector<ChatMessage> messages;  // of a chat; empty when `prompt` is given
  std::optional<std::string> prompt;
  int max_tokens = 512;
  double temperature = 1.0;
  double top_p = 1.0;
  int top_k = 0;  // 0: no limit
  double min_p = 0, repetition_penalty = 1;  // as vLLM and Transformers have them
  double presence_penalty = 0, frequency_penalty = 0;
  std::vector<std::pair<int, double>> logit_bias;  // token ids and what is added to their logits
  std::optional<int> top_logprobs;                 // with logprobs: how many of the likeliest tokens are told
  std::optional<std::int64_t> seed;
  std::vector<std::string> stop;
  bool greedy = false;
  std::string adapter = {};  // by name; empty: the model's own
  std::string payer = {};    // among whom the workers' slots are shared out; not sent to the engine
  std::string scope = {};    // requests of one scope may share what was computed of their prompts; empty: with nobody
  std::string tools = {};    // JSON list of what may be called, for the chat template
  // What the answer has to be: a JSON Schema as the client wrote it, and compiled. `json_object` is the schema of any object.
  std::string schema = {};
  std::shared_ptr<const json_schema::Grammar> grammar = {};
  // Where there are some they are read and nothing is generated: messages, prompt and what belongs to them count for nothing.
  std::vector<TextInput> texts = {};
  int ms_max = 0;  // until they were read; 0: no limit of its own
  int window = 0;  // of them: how unexpected so many tokens in a row are at most is told too; 0: not
};

struct RequestLimits {
  std::size_t messages_max = 256;
  std::size_t prompt_bytes_max = 256 << 10;  // of all messages together
  int answer_tokens_max = 4096;
  int answer_tokens_default = 512;
  int top_k_max = 1000;
  std::size_t stop_max = 4;
  std::size_t logit_bias_max = 300;
  int top_logprobs_max = 20, completion_logprobs_max = 5;
  std::size_t embedding_inputs_max = 2048;
  std::size_t stop_characters_max = 64;
  ToolLimits tools = {};
  std::string model_default = {};  // of a request that names no model; empty: it has to name one
};

enum class Protocol { chat, completion, inputs, embedding };  // `inputs`: Hugging Face's {"inputs", "parameters"} on /invocations

struct CompletionRequest {
  Protocol protocol = Protocol::chat;
  std::string model;  // as the client named it; may be empty for `inputs`
  GenerateRequest generate;
  bool stream = false;
  bool include_usage = false;  // stream_options.include_usage
  Tools tools = {};             // that the answer may call
  bool uses_tools = false;      // tools, or messages about earlier calls: only some engines know them
  std::string cache_salt = {};  // narrows the scope within which prompts are shared
  bool base64 = false;          // of an embedding: four bytes a number, in base64
  std::optional<int> dimensions = {};  // of an embedding, where the client names them
};

// Error::where names the parameter. invalid_argument, limit_exceeded (too long) or unsupported; all mean status 400.
Result<CompletionRequest> parse_chat_request(const std::string& body, const RequestLimits& limits);
Result<CompletionRequest> parse_completion_request(const std::string& body, const RequestLimits& limits);
// SageMaker's /invocations: a chat body, a completion body, or {"inputs", "parameters"}.
Result<CompletionRequest> parse_invocation(const std::string& body, const RequestLimits& limits);

// A chat's body, which was parsed before, with the text parts of each content put together as its model will read them.
std::string with_joined_parts(const std::string& body);

}  // namespace redoubt::openai
