// SPDX-License-Identifier: Apache-2.0
#include "openai/answer.h"

#include <algorithm>
#include <optional>

#include "base/json.h"
#include "base/json_writer.h"

namespace redoubt::openai {
namespace {

// What a refusal may name to the client.
constexpr std::string_view kEngineParameters[] = {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty",
                                                  "frequency_penalty", "logit_bias", "top_logprobs", "max_tokens", "model", "response_format", "input"};
constexpr double kLogprobMin = -9999;  // JSON has no infinity

// A text may be a key only once it is UTF-8.
std::string as_utf8(const std::string& bytes) {
  return Json::parse(dump_json(bytes)).get<std::string>();
}

void write_usage(JsonWriter& json, const GenerateEnd& end) {
  json.member("usage").begin_object();
  json.member("completion_tokens").integer(end.completion_tokens);
  json.member("prompt_tokens").integer(end.prompt_tokens);
  json.member("prompt_tokens_details").begin_object();
  json.member("cached_tokens").integer(end.reused_tokens);
  json.end_object();
  json.member("total_tokens").integer(end.prompt_tokens + end.completion_tokens);
  json.end_object();
}

// What stands beside the choices, in the order of its name.
void write_frame(JsonWriter& json, const AnswerFrame& frame, std::string_view object) {
  json.member("created").integer(frame.created);
  json.member("id").text(frame.id);
  json.member("model").text(frame.model);
  json.member("object").text(object);
}

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

// Logprobs are asked for seldom, and are no part of what is written fast.
void write_logprobs(JsonWriter& json, const AnswerFrame& frame, const Piece* piece, std::size_t& offset) {
  json.member("logprobs");
  if (!frame.logprobs || piece == nullptr) return json.null();
  json.json(dump_json(frame.protocol == Protocol::chat ? chat_logprobs(piece->logprobs) : completion_logprobs(piece->logprobs, offset)));
}

// `index` of a call within a stream; none in a whole answer.
void write_call(JsonWriter& json, const NamedCall& named, std::optional<std::size_t> index = std::nullopt) {
  json.begin_object();
  json.member("function").begin_object();
  json.member("arguments").text(named.call.arguments);
  json.member("name").text(named.call.name);
  json.end_object();
  json.member("id").text(named.id);
  if (index) json.member("index").integer(static_cast<std::int64_t>(*index));
  json.member("type").text("function");
  json.end_object();
}

void write_message(JsonWriter& json, const Piece& answer) {
  json.member("message").begin_object();
  json.member("content");
  answer.calls.empty() ? json.text(answer.text) : json.text_or_null(answer.text);
  json.member("refusal").null();
  json.member("role").text("assistant");
  if (!answer.calls.empty()) {
    json.member("tool_calls").begin_array();
    for (const auto& call : answer.calls) write_call(json, call);
    json.end_array();
  }
  json.end_object();
}

// The choice of a stream's event: `delta` writes what is new in a chat, the piece's text is what is new in a completion; null: nothing.
template <typename Delta>
void write_choice(JsonWriter& json, const AnswerFrame& frame, const Delta& delta, const Piece* piece, std::size_t& offset, std::string_view finish_reason = "") {
  const bool chat = frame.protocol == Protocol::chat;
  json.member("choices").begin_array();
  json.begin_object();
  if (chat) {
    json.member("delta").begin_object();
    delta();
    json.end_object();
  }
  json.member("finish_reason").text_or_null(finish_reason);
  json.member("index").integer(0);
  write_logprobs(json, frame, piece, offset);
  if (!chat) json.member("text").text(piece == nullptr ? std::string_view() : piece->text);
  json.end_object();
  json.end_array();
}

// `choices` writes that member, which stands first.
template <typename Choices>
std::string event_of(const AnswerFrame& frame, const Choices& choices, const GenerateEnd* usage = nullptr) {
  std::string out = "data: ";
  JsonWriter json(out);
  json.begin_object();
  choices(json);
  write_frame(json, frame, frame.protocol == Protocol::chat ? "chat.completion.chunk" : "text_completion");
  if (usage != nullptr) write_usage(json, *usage);
  else if (frame.streams_usage) json.member("usage").null();
  json.end_object();
  return out += "\n\n";
}

}  // namespace

std::string error_body(const std::string& message, const std::string& type, const std::string& param,
                       const std::string& code) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.member("error").begin_object();
  json.member("code").text_or_null(code);
  json.member("message").text(message);
  json.member("param").text_or_null(param);
  json.member("type").text(type);
  json.end_object();
  json.end_object();
  return out;
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
  std::string out;
  out.reserve(answer.text.size() + 512);
  JsonWriter json(out);
  if (frame.protocol == Protocol::inputs) {
    json.begin_array();
    json.begin_object();
    json.member("generated_text").text(answer.text);
    json.end_object();
    json.end_array();
    return out;
  }
  const bool chat = frame.protocol == Protocol::chat;
  std::size_t offset = 0;
  json.begin_object();
  json.member("choices").begin_array();
  json.begin_object();
  json.member("finish_reason").text(end.finish_reason);
  json.member("index").integer(0);
  write_logprobs(json, frame, &answer, offset);
  chat ? write_message(json, answer) : json.member("text").text(answer.text);
  json.end_object();
  json.end_array();
  write_frame(json, frame, chat ? "chat.completion" : "text_completion");
  write_usage(json, end);
  json.end_object();
  return out;
}

std::string stream_begin(const AnswerFrame& frame) {
  if (frame.protocol != Protocol::chat) return "";
  std::size_t offset = 0;
  return event_of(frame, [&](JsonWriter& json) {
    const auto delta = [&] {
      json.member("content").text("");
      json.member("role").text("assistant");
    };
    write_choice(json, frame, delta, nullptr, offset);
  });
}

std::string stream_token(const AnswerFrame& frame, const Piece& piece, StreamPlace& place) {
  return event_of(frame, [&](JsonWriter& json) {
    const auto delta = [&] {
      if (!piece.text.empty() || piece.calls.empty()) json.member("content").text(piece.text);
      if (piece.calls.empty()) return;
      json.member("tool_calls").begin_array();
      for (const auto& call : piece.calls) write_call(json, call, place.calls++);
      json.end_array();
    };
    write_choice(json, frame, delta, &piece, place.characters);
  });
}

std::string stream_token(const AnswerFrame& frame, const Piece& piece, std::size_t& offset) {
  StreamPlace place{offset};
  auto event = stream_token(frame, piece, place);
  offset = place.characters;
  return event;
}

std::string stream_end(const AnswerFrame& frame, const GenerateEnd& end) {
  std::size_t offset = 0;
  auto text = event_of(frame, [&](JsonWriter& json) { write_choice(json, frame, [] {}, nullptr, offset, end.finish_reason); });
  const auto no_choices = [](JsonWriter& json) {
    json.member("choices").begin_array();
    json.end_array();
  };
  if (frame.streams_usage) text += event_of(frame, no_choices, &end);
  return text + "data: [DONE]\n\n";
}

std::string stream_error(const std::string& body) { return "data: " + body + "\n\n"; }

}  // namespace redoubt::openai
