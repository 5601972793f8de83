// SPDX-License-Identifier: Apache-2.0
#include "openai/answer.h"

#include <algorithm>

#include "base/json.h"

namespace redoubt::openai {
namespace {

// What a refusal may name to the client.
constexpr std::string_view kEngineParameters[] = {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
                                                  "frequency_penalty", "logit_bias", "top_logprobs", "max_tokens", "model", "response_format"};
constexpr double kLogprobMin = -9999;  // JSON has no infinity

// A text may be a key only once it is UTF-8.
std::string as_utf8(const std::string& bytes) {
  return Json::parse(dump_json(bytes)).get<std::string>();
}

Json usage_of(const GenerateEnd& end) {
  return {{"prompt_tokens", end.prompt_tokens},
          {"completion_tokens", end.completion_tokens},
          {"total_tokens", end.prompt_tokens + end.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", end.reused_tokens}}}};
}

Json chunk_of(const AnswerFrame& frame, Json choices) {
  bool chat = frame.protocol == Protocol::chat;
  return {{"id", frame.id},
          {"object", chat ? "chat.completion.chunk" : "text_completion"},
          {"created", frame.created},
          {"model", frame.model},
          {"choices", std::move(choices)}};
}

std::string event_of(const Json& chunk) { return "data: " + dump_json(chunk) + "\n\n"; }

// A token as chats tell it. What is no UTF-8 in its text is written as U+FFFD; the bytes are exact.
Json chat_logprob(const TokenLogprob& one) {
  return {{"token", one.bytes}, {"bytes", std::vector<unsigned char>(one.bytes.begin(), one.bytes.end())}, {"logprob", std::max(kLogprobMin, one.logprob)}};
}

Json chat_logprobs(const std::vector<TokenLogprob>& logprobs) {
  Json content = Json::array();
  for (const auto& one : logprobs) {
    auto& entry = content.emplace_back(chat_logprob(one));
    entry["top_logprobs"] = Json::array();
    for (const auto& likely : one.top) entry["top_logprobs"].push_back(chat_logprob(likely));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

// The older form of completions: lists side by side.
Json completion_logprobs(const std::vector<TokenLogprob>& logprobs, std::size_t& offset) {
  Json out = {{"tokens", Json::array()}, {"token_logprobs", Json::array()}, {"top_logprobs", Json::array()}, {"text_offset", Json::array()}};
  for (const auto& one : logprobs) {
    out["tokens"].push_back(one.bytes);
    out["token_logprobs"].push_back(std::max(kLogprobMin, one.logprob));
    out["text_offset"].push_back(offset);
    auto& top = out["top_logprobs"].emplace_back(Json::object());
    for (const auto& likely : one.top) top[as_utf8(likely.bytes)] = std::max(kLogprobMin, likely.logprob);
    offset += static_cast<std::size_t>(std::count_if(one.bytes.begin(), one.bytes.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
  }
  return out;
}

Json logprobs_of(const AnswerFrame& frame, const std::vector<TokenLogprob>& logprobs, std::size_t& offset) {
  if (!frame.logprobs) return nullptr;
  return frame.protocol == Protocol::chat ? chat_logprobs(logprobs) : completion_logprobs(logprobs, offset);
}

Json choice_of(const AnswerFrame& frame, Json delta, const Json& finish_reason, Json logprobs = nullptr) {
  Json choice = {{"index", 0}, {"logprobs", std::move(logprobs)}, {"finish_reason", finish_reason}};
  if (frame.protocol == Protocol::chat)
    choice["delta"] = std::move(delta);
  else
    choice["text"] = delta.value("content", "");
  return Json::array({std::move(choice)});
}

Json call_of(const NamedCall& named) {
  return {{"id", named.id}, {"type", "function"}, {"function", {{"name", named.call.name}, {"arguments", named.call.arguments}}}};
}

Json message_of(const Piece& answer) {
  Json message = {{"role", "assistant"}, {"content", answer.text}, {"refusal", nullptr}};
  if (answer.calls.empty()) return message;
  if (answer.text.empty()) message["content"] = nullptr;
  for (const auto& call : answer.calls) message["tool_calls"].push_back(call_of(call));
  return message;
}

}  // namespace

std::string error_body(const std::string& message, const std::string& type, const std::string& param,
                       const std::string& code) {
  auto or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  return dump_json({{"error", {{"message", message}, {"type", type}, {"param", or_null(param)}, {"code", or_null(code)}}}});
}

std::string refusal_body(const std::string& parameter) {
  const bool known = std::find(std::begin(kEngineParameters), std::end(kEngineParameters), parameter) != std::end(kEngineParameters);
  return error_body(known ? parameter + " has a value that this model does not take" : "the model does not take this request", "invalid_request_error",
                    known ? parameter : "", "invalid_request");
}

void Piece::append(const Piece& more) {
  text += more.text;
  logprobs.insert(logprobs.end(), more.logprobs.begin(), more.logprobs.end());
  calls.insert(calls.end(), more.calls.begin(), more.calls.end());
}

std::string answer_body(const AnswerFrame& frame, const Piece& answer, const GenerateEnd& end) {
  if (frame.protocol == Protocol::inputs) return dump_json(Json::array({{{"generated_text", answer.text}}}));
  bool chat = frame.protocol == Protocol::chat;
  std::size_t offset = 0;
  Json choice = {{"index", 0}, {"logprobs", logprobs_of(frame, answer.logprobs, offset)}, {"finish_reason", end.finish_reason}};
  if (chat)
    choice["message"] = message_of(answer);
  else
    choice["text"] = answer.text;
  return dump_json({{"id", frame.id},
                    {"object", chat ? "chat.completion" : "text_completion"},
                    {"created", frame.created},
                    {"model", frame.model},
                    {"choices", Json::array({std::move(choice)})},
                    {"usage", usage_of(end)}});
}

std::string stream_begin(const AnswerFrame& frame) {
  if (frame.protocol != Protocol::chat) return "";
  return event_of(chunk_of(frame, choice_of(frame, {{"role", "assistant"}, {"content", ""}}, nullptr)));
}

std::string stream_token(const AnswerFrame& frame, const Piece& piece, StreamPlace& place) {
  Json delta = Json::object();
  if (!piece.text.empty() || piece.calls.empty()) delta["content"] = piece.text;
  for (const auto& call : piece.calls) {
    delta["tool_calls"].push_back(call_of(call));
    delta["tool_calls"].back()["index"] = place.calls++;
  }
  return event_of(chunk_of(frame, choice_of(frame, std::move(delta), nullptr, logprobs_of(frame, piece.logprobs, place.characters))));
}

std::string stream_token(const AnswerFrame& frame, const Piece& piece, std::size_t& offset) {
  StreamPlace place{offset};
  auto event = stream_token(frame, piece, place);
  offset = place.characters;
  return event;
}

std::string stream_end(const AnswerFrame& frame, const GenerateEnd& end, bool include_usage) {
  auto text = event_of(chunk_of(frame, choice_of(frame, Json::object(), end.finish_reason)));
  if (include_usage) {
    auto usage = chunk_of(frame, Json::array());
    usage["usage"] = usage_of(end);
    text += event_of(usage);
  }
  return text + "data: [DONE]\n\n";
}

std::string stream_error(const std::string& body) { return "data: " + body + "\n\n"; }

}  // namespace redoubt::openai
