// SPDX-License-Identifier: Apache-2.0
#include "gateway/worker_message.h"

#include "base/json_writer.h"

namespace redoubt::gateway {
namespace {

constexpr std::size_t kOptionsBytes = 256;  // about as many beside the prompt

void write_messages(JsonWriter& json, const std::vector<openai::ChatMessage>& messages) {
  json.member("messages").begin_array();
  for (const auto& one : messages) {
    json.begin_object();
    json.member("content").text(one.content);
    if (!one.json.empty()) json.member("json").text(one.json);
    json.member("role").text(one.role);
    json.end_object();
  }
  json.end_array();
}

void write_logit_bias(JsonWriter& json, const std::vector<std::pair<int, double>>& biases) {
  if (biases.empty()) return;
  json.member("logit_bias").begin_object();
  for (const auto& [token, bias] : biases) json.member(std::to_string(token)).number(bias);
  json.end_object();
}

std::string short_line(std::string_view type, std::uint64_t id) {
  std::string line;
  JsonWriter json(line);
  json.begin_object();
  json.member("type").text(type);
  json.member("id").text(std::to_string(id));
  json.end_object();
  return line;
}

void write_texts(JsonWriter& json, const std::vector<openai::TextInput>& texts) {
  json.member("texts").begin_array();
  for (const auto& one : texts) {
    if (one.tokens.empty()) {
      json.text(one.text);
      continue;
    }
    json.begin_array();
    for (const auto token : one.tokens) json.integer(token);
    json.end_array();
  }
  json.end_array();
}

std::string read_options(const openai::GenerateRequest& request) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  write_texts(json, request.texts);
  if (!request.adapter.empty()) json.member("adapter").text(request.adapter);
  if (request.window > 0) json.member("window").integer(request.window);
  json.end_object();
  return out;
}

}  // namespace

std::string generate_options(const openai::GenerateRequest& request) {
  if (!request.texts.empty()) return read_options(request);
  std::string out;
  std::size_t bytes = kOptionsBytes + (request.prompt ? request.prompt->size() : 0);
  for (const auto& one : request.messages) bytes += one.content.size() + one.json.size() + 64;
  out.reserve(bytes);
  JsonWriter json(out);
  const auto unless = [&](const char* name, double value, double is_default) {
    if (value != is_default) json.member(name).number(value);
  };
  const auto if_any = [&](const char* name, const std::string& text) {
    if (!text.empty()) json.member(name).text(text);
  };
  json.begin_object();
  json.member("max_tokens").integer(request.max_tokens);
  json.member("temperature").number(request.temperature);
  json.member("top_p").number(request.top_p);
  json.member("top_k").integer(request.top_k);
  json.member("greedy").boolean(request.greedy);
  json.member("stop").begin_array();
  for (const auto& stop : request.stop) json.text(stop);
  json.end_array();
  unless("min_p", request.min_p, 0);
  unless("repetition_penalty", request.repetition_penalty, 1);
  unless("presence_penalty", request.presence_penalty, 0);
  unless("frequency_penalty", request.frequency_penalty, 0);
  write_logit_bias(json, request.logit_bias);
  if (request.top_logprobs) json.member("top_logprobs").integer(*request.top_logprobs);
  if_any("adapter", request.adapter);
  if_any("tools", request.tools);
  if_any("schema", request.schema);
  if (request.seed) json.member("seed").integer(*request.seed);
  if (request.prompt) json.member("prompt").text(*request.prompt);
  else write_messages(json, request.messages);
  json.end_object();
  return out;
}

std::string generate_line(std::uint64_t id, std::string_view options, std::string_view scope, std::string_view type) {
  std::string line;
  line.reserve(options.size() + scope.size() + 96);
  JsonWriter json(line);
  json.begin_object();
  json.member("type").text(type);
  json.member("id").text(std::to_string(id));
  if (!scope.empty()) json.member("scope").text(scope);
  line += ',';
  line += options.substr(1);  // its members, and the end of the object
  return line;
}

std::string cancel_line(std::uint64_t id) { return short_line("cancel", id); }
std::string ping_line(std::uint64_t number) { return short_line("ping", number); }

}  // namespace redoubt::gateway
