// SPDX-License-Identifier: Apache-2.0
#include "openai/request.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/member_text.h"
#include "json_schema/compile.h"
#include "openai/fields.h"

namespace redoubt::openai {
namespace {

Result<std::vector<std::string>> parse_stop(const Json& value, const RequestLimits& limits, const std::string& field) {
  std::vector<std::string> stop;
  auto list = value.is_string() ? Json::array({value}) : value;
  if (value.is_null()) return stop;
  if (!list.is_array() || list.size() > limits.stop_max)
    return wrong(field + " must be a string or a list of at most " + std::to_string(limits.stop_max), field);
  for (const auto& item : list) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty() ||
        characters_of(item.get_ref<const std::string&>()) > limits.stop_characters_max)
      return wrong(field + " must hold strings of 1 to " + std::to_string(limits.stop_characters_max) + " characters", field);
    stop.push_back(item.get<std::string>());
  }
  return stop;
}

Result<std::vector<std::pair<int, double>>> parse_logit_bias(const Json& value, const RequestLimits& limits) {
  std::vector<std::pair<int, double>> biases;
  if (value.is_null()) return biases;
  const auto bad = [&] {
    return wrong("logit_bias must be an object of at most " + std::to_string(limits.logit_bias_max) + " token ids with numbers from -100 to 100", "logit_bias");
  };
  if (!value.is_object() || value.size() > limits.logit_bias_max) return bad();
  for (const auto& [key, bias] : value.items()) {
    int id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc{} || end != key.data() + key.size() || id < 0 || id > kTokenIdMax || key != std::to_string(id)) return bad();
    if (!bias.is_number() || !(std::abs(bias.get<double>()) <= 100)) return bad();
    biases.emplace_back(id, bias.get<double>());
  }
  return biases;
}

// A chat's logprobs is a switch, with top_logprobs beside it.
Result<std::optional<int>> parse_chat_logprobs(Fields& fields, const RequestLimits& limits) {
  const bool wanted = TRY(fields.boolean("logprobs", false));
  const bool counted = fields.has("top_logprobs");
  const auto top = static_cast<int>(TRY(fields.integer("top_logprobs", 0, 0, limits.top_logprobs_max)));
  if (counted && top > 0 && !wanted) return wrong("top_logprobs goes with logprobs only", "top_logprobs");
  return wanted ? std::optional(top) : std::nullopt;
}

// A completion's logprobs is the number itself.
Result<std::optional<int>> parse_completion_logprobs(Fields& fields, const RequestLimits& limits) {
  const auto top = TRY(fields.integer("logprobs", -1, 0, limits.completion_logprobs_max));
  return top >= 0 ? std::optional(static_cast<int>(top)) : std::nullopt;
}

// A string, or a list of {"type": "text", "text"} parts.
Result<std::string> parse_content(Json content, const std::string& field) {
  if (content.is_string()) return std::move(content.get_ref<std::string&>());
  if (!content.is_array() || content.empty() || content.size() > 256)
    return wrong(field + " must be a string or a list of text parts", field);
  std::string text;
  for (auto& item : content) {
    auto part = TRY(Fields::of(std::move(item), field));
    const auto type = TRY(part.text("type", 32));
    if (type != "text") return fail(ErrorCode::unsupported, field + " may hold text parts only", field);
    const auto piece = TRY(part.text("text", std::numeric_limits<std::size_t>::max()));
    text += piece;
    TRY(part.end());
  }
  return text;
}

bool may_stand_in_name(std::string_view text) {
  constexpr std::string_view kMarks = "<>|/\\";  // with which templates part the speakers
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool is_odd = byte <= ' ' || byte == 0x7f || kMarks.find(text[i]) != kMarks.npos;
    const bool is_c1 = byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) <= 0xa0;  // to U+00A0
    if (is_odd || is_c1) return false;
  }
  return true;
}

// Who speaks, or whose result it is: for the chat template, as Transformers hands it over.
Result<std::string> parse_name(Fields& fields, const std::string& field) {
  auto name = TRY(fields.text_if_any("name", 64));
  if (!may_stand_in_name(name)) return wrong(field + ".name must have no white space and none of < > | / and \\", field + ".name");
  return name;
}

Result<ChatMessage> parse_message(Fields& fields, const std::string& role, const std::string& field) {
  ChatMessage message{role, {}};
  const auto name = TRY(parse_name(fields, field));
  auto content = fields.take("content");
  if (content.is_array()) message.parts = content.size();
  auto calls = fields.take("tool_calls");
  const bool has_calls = role == "assistant" && !calls.is_null() && calls != Json::array();
  // Beside its calls an answer may have said nothing.
  if (!has_calls || !content.is_null()) message.content = TRY(parse_content(std::move(content), field + ".content"));
  if (has_calls) {
    message.json = TRY(message_with_calls(message.content, calls, name, field + ".tool_calls"));
  } else if (!calls.is_null() && calls != Json::array()) {
    return wrong(field + ".tool_calls belong to the assistant", field + ".tool_calls");
  }
  if (role == "tool") {
    const auto id = TRY(fields.text("tool_call_id", 64));
    message.json = message_of_tool(message.content, id, name);
  }
  if (message.json.empty() && !name.empty()) message.json = message_of_participant(role, message.content, name);
  for (auto* nothing : {"function_call", "refusal", "audio"}) TRY(fields.only(nothing, {}));
  TRY(fields.only("annotations", {"[]"}));
  return message;
}

Result<std::vector<ChatMessage>> parse_messages(Json value, const RequestLimits& limits) {
  if (!value.is_array() || value.empty() || value.size() > limits.messages_max)
    return wrong("messages must be a list of 1 to " + std::to_string(limits.messages_max) + " messages", "messages");
  std::vector<ChatMessage> messages;
  std::size_t bytes = 0;
  for (auto& item : value) {
    auto field = "messages[" + std::to_string(messages.size()) + "]";
    auto fields = TRY(Fields::of(std::move(item), field));
    auto role = TRY(fields.text("role", 32));
    if (role == "developer") role = "system";  // OpenAI's later name for it
    const bool takes_tools = limits.tools.tools_max > 0;
    if (role != "system" && role != "user" && role != "assistant" && !(takes_tools && role == "tool"))
      return wrong(field + ".role must be system, user" + (takes_tools ? ", assistant or tool" : " or assistant"), field + ".role");
    if (!takes_tools) {
      TRY(fields.only("tool_calls", {"[]"}));
      TRY(fields.only("name", {}));
    }
    auto message = TRY(parse_message(fields, role, field));
    TRY(fields.end());
    bytes += message.json.empty() ? message.content.size() : message.json.size();
    if (bytes > limits.prompt_bytes_max)
      return fail(ErrorCode::limit_exceeded,
                  "the messages are longer than " + std::to_string(limits.prompt_bytes_max) + " bytes", "messages");
    messages.push_back(std::move(message));
  }
  return messages;
}

Status check_prompt(const std::string& prompt, const RequestLimits& limits, const char* field) {
  if (prompt.empty()) return wrong(std::string(field) + " is empty", field);
  if (prompt.size() > limits.prompt_bytes_max)
    return fail(ErrorCode::limit_exceeded,
                std::string(field) + " is longer than " + std::to_string(limits.prompt_bytes_max) + " bytes", field);
  return {};
}

// What chat and completions have in common.
Status parse_sampling(Fields& fields, const RequestLimits& limits, CompletionRequest& request) {
  auto& generate = request.generate;
  request.model = TRY(fields.text("model", 256, limits.model_default));
  if (request.model.empty()) return wrong("model is empty", "model");
  generate.temperature = TRY(fields.number("temperature", 1.0, 0.0, 2.0));
  generate.top_p = TRY(fields.number("top_p", 1.0, 0.0, 1.0));
  generate.greedy = generate.temperature == 0 || generate.top_p == 0;
  if (generate.top_p == 0) generate.top_p = 1;  // the engine takes values above 0 only, and greedy ignores it
  generate.top_k = static_cast<int>(TRY(fields.integer("top_k", 0, 0, limits.top_k_max)));
  if (auto seed = whole_number(fields.take("seed")); !seed.is_null()) {
    if (!seed.is_number_integer() || (seed.is_number_unsigned() && seed.get<std::uint64_t>() >> 63))
      return wrong("seed must be a 64-bit integer", "seed");
    generate.seed = seed.get<std::int64_t>();
  }
  generate.stop = TRY(parse_stop(fields.take("stop"), limits, "stop"));
  request.stream = TRY(fields.boolean("stream", false));
  if (auto options = fields.take("stream_options"); !options.is_null()) {
    if (!request.stream) return wrong("stream_options goes with stream only", "stream_options");
    auto inner = TRY(Fields::of(std::move(options), "stream_options"));
    request.include_usage = TRY(inner.boolean("include_usage", false));
    TRY(inner.only("include_obfuscation", {"false"}));
    TRY(inner.end());
  }
  TRY(fields.only("n", {"1"}));
  generate.min_p = TRY(fields.number("min_p", 0, 0, 1));
  generate.repetition_penalty = TRY(fields.number("repetition_penalty", 1, 0.01, 100));
  generate.presence_penalty = TRY(fields.number("presence_penalty", 0, -2, 2));
  generate.frequency_penalty = TRY(fields.number("frequency_penalty", 0, -2, 2));
  generate.logit_bias = TRY(parse_logit_bias(fields.take("logit_bias"), limits));
  // They name the caller's user or say how to store and bill: nothing that changes the answer.
  request.cache_salt = TRY(fields.text_if_any("cache_salt", 128));
  for (auto* key : {"user", "safety_identifier", "prompt_cache_key"}) (void)TRY(fields.text_if_any(key, 512));
  return {};
}

Result<int> answer_tokens(Fields& fields, const char* key, const RequestLimits& limits, int fallback) {
  return static_cast<int>(TRY(fields.integer(key, fallback, 1, limits.answer_tokens_max)));
}

// {"type": "text"}, {"type": "json_object"}, or {"type": "json_schema", "json_schema": {"name", "schema", "strict"}}, which is strict
// whatever it says. `body` is the whole request.
Status parse_response_format(Fields& fields, const std::string& body, GenerateRequest& generate) {
  const char* field = "response_format";
  auto value = fields.take(field);
  if (value.is_null()) return {};
  auto format = TRY(Fields::of(std::move(value), field));
  const auto type = TRY(format.text("type", 32));
  if (type != "text" && type != "json_object" && type != "json_schema") return wrong("response_format.type must be text, json_object or json_schema", field);
  if (type == "json_object") generate.schema = R"({"type":"object"})";
  if (type == "json_schema") {
    auto described = TRY(Fields::of(format.take("json_schema"), "response_format.json_schema"));
    (void)TRY(described.text("name", 64));
    (void)TRY(described.text_if_any("description", 4096));
    (void)TRY(described.boolean("strict", true));
    const auto schema = member_text(body, {field, "json_schema", "schema"});
    if (described.take("schema").is_null() || !schema) return wrong("response_format.json_schema.schema is required", field);
    TRY(described.end());
    generate.schema = *schema;
  }
  TRY(format.end());
  if (generate.schema.empty()) return {};
  auto grammar = json_schema::compile_schema(generate.schema);
  if (!grammar) return fail(grammar.error().code, "response_format.json_schema.schema, at " + grammar.error().where + ": " + grammar.error().message, field);
  generate.grammar = std::move(*grammar);
  return {};
}

// What the answer may call, and how it is held to a call.
Status parse_tool_use(Fields& fields, const std::string& body, const RequestLimits& limits, CompletionRequest& request) {
  const auto tools = fields.take("tools"), choice = fields.take("tool_choice");
  request.tools = TRY(parse_tools(tools, choice, body, limits.tools));
  if (!TRY(fields.boolean("parallel_tool_calls", true))) request.tools.calls_max = 1;
  auto& generate = request.generate;
  request.uses_tools = request.tools.may_call() || std::any_of(generate.messages.begin(), generate.messages.end(), [](const auto& message) { return !message.json.empty(); });
  if (request.tools.names.empty()) return {};
  if (generate.top_logprobs) return fail(ErrorCode::unsupported, "logprobs do not go with tools", "logprobs");
  if (!request.tools.may_call()) return {};
  generate.tools = request.tools.json;
  if (request.tools.call_schema.empty()) return {};
  generate.schema = request.tools.call_schema;
  auto grammar = json_schema::compile_schema(generate.schema);
  if (!grammar) return fail(grammar.error().code, "the parameters of a tool, at " + grammar.error().where + ": " + grammar.error().message, "tools");
  generate.grammar = std::move(*grammar);
  return {};
}

Result<CompletionRequest> parse_chat(Fields fields, const std::string& body, const RequestLimits& limits) {
  CompletionRequest request;
  request.protocol = Protocol::chat;
  TRY(parse_sampling(fields, limits, request));
  auto older =
      TRY(answer_tokens(fields, "max_tokens", limits, std::min(limits.answer_tokens_default, limits.answer_tokens_max)));
  request.generate.max_tokens = TRY(answer_tokens(fields, "max_completion_tokens", limits, older));
  request.generate.messages = TRY(parse_messages(fields.take("messages"), limits));
  request.generate.top_logprobs = TRY(parse_chat_logprobs(fields, limits));
  TRY(parse_tool_use(fields, body, limits, request));
  TRY(fields.only("functions", {"[]"}));
  TRY(fields.only("function_call", {R"("none")"}));
  if (request.tools.call_schema.empty()) {
    TRY(parse_response_format(fields, body, request.generate));
  } else {
    TRY(fields.only("response_format", {R"({"type":"text"})"}));
  }
  TRY(fields.only("modalities", {R"(["text"])"}));
  TRY(fields.only("store", {"false"}));
  TRY(fields.only("metadata", {"{}"}));
  TRY(fields.only("service_tier", {R"("auto")", R"("default")"}));
  TRY(fields.end());
  return request;
}

Result<CompletionRequest> parse_completion(Fields fields, const RequestLimits& limits) {
  CompletionRequest request;
  request.protocol = Protocol::completion;
  TRY(parse_sampling(fields, limits, request));
  request.generate.max_tokens = TRY(answer_tokens(fields, "max_tokens", limits, std::min(16, limits.answer_tokens_max)));
  auto prompt = fields.take("prompt");
  if (prompt.is_array() && prompt.size() == 1) prompt = Json(prompt[0]);
  if (!prompt.is_string()) return wrong("prompt must be one string", "prompt");
  request.generate.prompt = prompt.get<std::string>();
  TRY(check_prompt(*request.generate.prompt, limits, "prompt"));
  TRY(fields.only("echo", {"false"}));
  TRY(fields.only("suffix", {R"("")"}));
  TRY(fields.only("best_of", {"1"}));
  request.generate.top_logprobs = TRY(parse_completion_logprobs(fields, limits));
  TRY(fields.end());
  return request;
}

Result<CompletionRequest> parse_inputs(Fields fields, const RequestLimits& limits) {
  CompletionRequest request;
  request.protocol = Protocol::inputs;
  request.generate.prompt = TRY(fields.text("inputs", std::numeric_limits<std::size_t>::max()));
  TRY(check_prompt(*request.generate.prompt, limits, "inputs"));
  auto given = fields.take("parameters");
  TRY(fields.only("stream", {"false"}));
  TRY(fields.end());
  auto inner = TRY(Fields::of(given.is_null() ? Json::object() : std::move(given), "parameters"));
  auto& generate = request.generate;
  generate.max_tokens =
      TRY(answer_tokens(inner, "max_new_tokens", limits, std::min(limits.answer_tokens_default, limits.answer_tokens_max)));
  generate.temperature = TRY(inner.number("temperature", 1.0, 0.0, 2.0));
  generate.top_p = TRY(inner.number("top_p", 1.0, 0.0, 1.0));
  generate.top_k = static_cast<int>(TRY(inner.integer("top_k", 0, 0, limits.top_k_max)));
  generate.repetition_penalty = TRY(inner.number("repetition_penalty", 1, 0.01, 100));
  bool sample = TRY(inner.boolean("do_sample", true));
  generate.greedy = !sample || generate.temperature == 0 || generate.top_p == 0;
  if (generate.top_p == 0) generate.top_p = 1;
  if (inner.has("seed")) generate.seed = TRY(inner.integer("seed", 0, 0, std::numeric_limits<std::int64_t>::max()));
  generate.stop = TRY(parse_stop(inner.take("stop"), limits, "parameters.stop"));
  TRY(inner.only("return_full_text", {"false"}));
  TRY(inner.end());
  return request;
}

}  // namespace

Result<CompletionRequest> parse_chat_request(const std::string& body, const RequestLimits& limits) {
  auto fields = TRY(Fields::of(body));
  return parse_chat(std::move(fields), body, limits);
}

Result<CompletionRequest> parse_completion_request(const std::string& body, const RequestLimits& limits) {
  auto fields = TRY(Fields::of(body));
  return parse_completion(std::move(fields), limits);
}

Result<CompletionRequest> parse_invocation(const std::string& body, const RequestLimits& limits) {
  auto fields = TRY(Fields::of(body));
  if (fields.has("messages")) return parse_chat(std::move(fields), body, limits);
  if (fields.has("prompt")) return parse_completion(std::move(fields), limits);
  return parse_inputs(std::move(fields), limits);
}

std::string with_joined_parts(const std::string& body) {
  // In its writer's order, which counts in a schema.
  auto request = nlohmann::ordered_json::parse(body, nullptr, false);
  if (!request.is_object() || !request.contains("messages")) return body;
  for (auto& message : request["messages"]) {
    if (!message.is_object() || !message.contains("content") || !message["content"].is_array()) continue;
    std::string text;
    for (const auto& part : message["content"]) text += part.value("text", "");
    message["content"] = std::move(text);
  }
  return request.dump();
}

}  // namespace redoubt::openai
