// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/request_fields.h"

#include <algorithm>
#include <charconv>

#include "json_schema/compile.h"

namespace redoubt::engine::generate {
namespace {

constexpr std::int64_t kTokensMax = 1 << 24;
constexpr std::int64_t kWindowMax = 4096;

tl::unexpected<Error> bad(std::string what) { return fail(ErrorCode::invalid_argument, std::move(what), "request"); }

}  // namespace

Result<std::string> request_id(const Json& message) {
  if (!message.is_object()) return bad("a message is a JSON object");
  auto id = TRY(json_string(message, "id", "request"));
  if (id.empty() || id.size() > kIdBytesMax) return bad("an id has 1 to 128 bytes");
  return id;
}

Status expect_fields(const Json& message, std::initializer_list<std::string_view> known) {
  for (const auto& [key, unused] : message.items())
    if (std::ranges::find(known, std::string_view(key)) == known.end()) return bad("unknown field '" + key.substr(0, 64) + "'");
  return {};
}

Result<std::vector<chat_template::Message>> parse_messages(const Json& list) {
  if (!list.is_array() || list.empty() || list.size() > kMessagesMax) return bad("messages must be a list of 1 to 4096");
  std::vector<chat_template::Message> messages;
  for (const auto& entry : list) {
    if (!entry.is_object()) return bad("a message has a role and a content");
    TRY(expect_fields(entry, {"role", "content", "json"}));
    auto& message = messages.emplace_back();
    message.role = TRY(json_string(entry, "role", "request: messages"));
    message.content = TRY(json_string(entry, "content", "request: messages"));
    if (entry.contains("json")) message.json = TRY(json_string(entry, "json", "request: messages"));
    if (message.role.empty() || message.role.size() > 64) return bad("a role has 1 to 64 bytes");
  }
  return messages;
}

Result<std::vector<std::string>> parse_stops(const Json& list) {
  std::vector<std::string> stops;
  if (!list.is_array() || list.size() > kStopsMax) return bad("stop must be a list of at most 16 strings");
  for (const auto& stop : list) {
    if (!stop.is_string()) return bad("stop must be a list of strings");
    stops.push_back(stop.get<std::string>());
    if (stops.back().empty() || stops.back().size() > kStopBytesMax) return bad("a stop string has 1 to 256 bytes");
  }
  return stops;
}

Result<std::vector<std::pair<std::int32_t, float>>> parse_logit_bias(const Json& object) {
  const auto wrong = [] { return bad("logit_bias must be an object of token ids and numbers"); };
  if (!object.is_object()) return wrong();
  std::vector<std::pair<std::int32_t, float>> biases;
  for (const auto& [key, value] : object.items()) {
    std::int32_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc{} || end != key.data() + key.size() || !value.is_number()) return wrong();
    biases.emplace_back(id, value.get<float>());
  }
  return biases;
}

Result<std::shared_ptr<const json_schema::Grammar>> parse_schema(std::string_view text) {
  auto grammar = json_schema::compile_schema(text);
  if (!grammar) return fail(grammar.error().code, "schema, at " + grammar.error().where + ": " + grammar.error().message, "response_format");
  return grammar;
}

const std::vector<std::string>& request_fields() {
  static const std::vector<std::string> fields = {"prompt",  "messages", "max_tokens", "temperature",        "top_p",            "top_k",
                                                  "min_p",   "greedy",   "seed",       "repetition_penalty", "presence_penalty", "frequency_penalty",
                                                  "logit_bias", "top_logprobs", "stop", "schema", "tools"};
  return fields;
}

Result<Request> read_options(const job::Hyperparameters& values) {
  Request request;
  if (values.has("max_tokens")) request.max_tokens = TRY(values.integer("max_tokens", 1, 1, kTokensMax));
  auto& sampling = request.sampling;
  sampling.greedy = TRY(values.boolean("greedy", false));
  sampling.temperature = TRY(values.number("temperature", 1, 0, kTemperatureMax));
  sampling.top_p = TRY(values.number("top_p", 1, 0, 1));
  sampling.top_k = TRY(values.integer("top_k", 0, 0, kTokensMax));
  sampling.min_p = TRY(values.number("min_p", 0, 0, 1));
  sampling.repetition_penalty = TRY(values.number("repetition_penalty", 1, 0, kRepetitionPenaltyMax));
  sampling.presence_penalty = TRY(values.number("presence_penalty", 0, -kPenaltyMax, kPenaltyMax));
  sampling.frequency_penalty = TRY(values.number("frequency_penalty", 0, -kPenaltyMax, kPenaltyMax));
  if (const auto bias = TRY(values.value("logit_bias"))) sampling.logit_bias = TRY(parse_logit_bias(*bias));
  sampling.seed = static_cast<std::uint64_t>(TRY(values.integer("seed", 0, INT64_MIN, INT64_MAX)));
  if (values.has("top_logprobs")) request.top_logprobs = static_cast<std::size_t>(TRY(values.integer("top_logprobs", 0, 0, kTopLogprobsMax)));
  if (values.has("schema")) request.grammar = TRY(parse_schema(TRY(values.text("schema", ""))));
  if (const auto stop = TRY(values.value("stop"))) request.stop = TRY(parse_stops(*stop));
  return request;
}

Result<Prompt> read_prompt(const job::Hyperparameters& values) {
  const auto messages = TRY(values.value("messages"));
  if (messages.has_value() == values.has("prompt")) return bad("a request has either messages or a prompt");
  Prompt prompt;
  if (messages) {
    prompt.messages = TRY(parse_messages(*messages));
    prompt.tools = TRY(values.text("tools", ""));
  } else {
    if (values.has("tools")) return bad("tools go with messages");
    prompt.text = TRY(values.text("prompt", ""));
  }
  return prompt;
}

Result<std::vector<TextInput>> parse_texts(const Json& message) {
  const auto list = json_or(message, "texts", Json());
  if (!list.is_array() || list.empty() || list.size() > kTextsMax) return bad("texts must be a list of 1 to " + std::to_string(kTextsMax));
  std::vector<TextInput> texts;
  for (const auto& entry : list) {
    auto& text = texts.emplace_back();
    if (entry.is_string() && !entry.get_ref<const std::string&>().empty()) {
      text.text = entry.get<std::string>();
      continue;
    }
    if (!entry.is_array() || entry.empty()) return bad("a text is a string, or a list of token ids, and not empty");
    for (const auto& id : entry) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() > INT32_MAX) return bad("a token id is a whole number");
      text.tokens.push_back(id.get<std::int32_t>());
    }
  }
  return texts;
}

Result<std::int64_t> parse_window(const Json& message) {
  if (!message.contains("window")) return 0;
  const auto window = TRY(json_integer(message, "window", "request"));
  if (window < 1 || window > kWindowMax) return bad("window is from 1 to 4096");
  return window;
}

Result<job::Hyperparameters> request_values(const Json& message) {
  for (const auto& [key, unused] : message.items()) {
    const bool known = key == "type" || key == "id" || key == "adapter" || key == "scope" || std::ranges::find(request_fields(), key) != request_fields().end();
    if (!known) return bad("unknown field '" + key.substr(0, 64) + "'");
  }
  return job::Hyperparameters::from_json(message, "request", job::Strings::are_strings);
}

}  // namespace redoubt::engine::generate
