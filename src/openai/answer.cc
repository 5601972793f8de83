// SPDX-License-Identifier: Apache-2.0
#include "openai/answer.h"

#include "base/json.h"

namespace redoubt::openai {
namespace {

Json usage_of(const GenerateEnd& end) {
  return {{"prompt_tokens", end.prompt_tokens},
          {"completion_tokens", end.completion_tokens},
          {"total_tokens", end.prompt_tokens + end.completion_tokens}};
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

Json choice_of(const AnswerFrame& frame, Json delta, const Json& finish_reason) {
  Json choice = {{"index", 0}, {"logprobs", nullptr}, {"finish_reason", finish_reason}};
  if (frame.protocol == Protocol::chat)
    choice["delta"] = std::move(delta);
  else
    choice["text"] = delta.value("content", "");
  return Json::array({std::move(choice)});
}

}  // namespace

std::string error_body(const std::string& message, const std::string& type, const std::string& param,
                       const std::string& code) {
  auto or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  return dump_json({{"error", {{"message", message}, {"type", type}, {"param", or_null(param)}, {"code", or_null(code)}}}});
}

std::string answer_body(const AnswerFrame& frame, const std::string& text, const GenerateEnd& end) {
  if (frame.protocol == Protocol::inputs) return dump_json(Json::array({{{"generated_text", text}}}));
  bool chat = frame.protocol == Protocol::chat;
  Json choice = {{"index", 0}, {"logprobs", nullptr}, {"finish_reason", end.finish_reason}};
  if (chat)
    choice["message"] = {{"role", "assistant"}, {"content", text}, {"refusal", nullptr}};
  else
    choice["text"] = text;
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

std::string stream_token(const AnswerFrame& frame, std::string_view text) {
  return event_of(chunk_of(frame, choice_of(frame, {{"content", std::string(text)}}, nullptr)));
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
