// SPDX-License-Identifier: Apache-2.0
//
// The answers' JSON, as OpenAI's clients read it: whole, as server-sent events, and errors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "openai/request.h"

namespace redoubt::openai {

struct GenerateEnd {
  std::string finish_reason;  // "stop", "length", "cancelled"; with calls of tools "tool_calls"
  int prompt_tokens = 0, completion_tokens = 0;
  int reused_tokens = 0;  // of the prompt: computed for an earlier request of the same key
};

// How likely the model held a token, in nats, and the likeliest ones at its place.
struct TokenLogprob {
  std::string bytes;  // need not be UTF-8
  double logprob = 0;
  std::vector<TokenLogprob> top = {};  // empty within another's
};

// A call of a tool in an answer, with the name that its result has to carry.
struct NamedCall {
  std::string id;
  ToolCall call;
};

// A stretch of an answer: text, and where the request asked for them, logprobs of tokens.
struct Piece {
  std::string text;
  std::vector<TokenLogprob> logprobs = {};
  std::vector<NamedCall> calls = {};
  bool empty() const { return text.empty() && logprobs.empty() && calls.empty(); }
  void append(const Piece& more);
};

// {"error": {"message", "type", "param", "code"}}; an empty `param` or `code` is null.
std::string error_body(const std::string& message, const std::string& type, const std::string& param,
                       const std::string& code);
// The engine found a value wrong that only the model's vocabulary or context can tell; `parameter` may be empty or no
// parameter's name, which is not told then.
std::string refusal_body(const std::string& parameter);

// What every answer to one request shares.
struct AnswerFrame {
  Protocol protocol = Protocol::chat;
  std::string id, model;
  std::int64_t created = 0;  // seconds
  bool logprobs = false;     // were asked for
  bool streams_usage = false;  // a stream tells at its end what it used, and until then that it is not known yet
};
std::string answer_body(const AnswerFrame& frame, const Piece& answer, const GenerateEnd& end);
// Server-sent events, each with its "data: " and empty line.
std::string stream_begin(const AnswerFrame& frame);
// What was told of an answer so far.
struct StreamPlace {
  std::size_t characters = 0, calls = 0;
};
std::string stream_token(const AnswerFrame& frame, const Piece& piece, StreamPlace& place);
// Of an answer that calls no tools. `offset`: characters told so far, begun with 0.
std::string stream_token(const AnswerFrame& frame, const Piece& piece, std::size_t& offset);
std::string stream_end(const AnswerFrame& frame, const GenerateEnd& end);
std::string stream_error(const std::string& error_body);

}  // namespace redoubt::openai
