// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/request_fields.h"

#include <algorithm>
#include <charconv>

#include "json_schema/compile.h"

namespace redoubt::engine::generate {
namespace {

constexpr std::int64_t kTokensMax = 1 << 24;

tl::unexpected<Error> bad(std::string what) { return fail(ErrorCode::invalid_argument, std::move(what), "request"); }

const Json* find(const Json& message, const char* key) {
  const auto found = message.find(key);
  return found == message.end() || found->is_null() ? nullptr : &*found;
}

Result<double> number_or(const Json& message, const char* key, double fallback) {
  return find(message, key) ? json_number(message, key, "request") : Result<double>(fallback);
}

Result<std::int64_t> count_or(const Json& message, const char* key, std::int64_t least) {
  if (!find(message, key)) return 0;
  const auto value = TRY(json_integer(message, key, "request"));
  if (value < least || value > kTokensMax) return bad(std::string(key) + " is out of range");
  return value;
}

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
    TRY(expect_fields(entry, {"role", "content"}));
    auto& message = messages.emplace_back();
    message.role = TRY(json_string(entry, "role", "request: messages"));
    message.content = TRY(json_string(entry, "content", "request: messages"));
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

Result<Request> parse_options(const Json& message) {
  TRY(expect_fields(message, {"type", "id", "messages", "prompt", "adapter", "scope", "max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty",
                              "presence_penalty", "frequency_penalty", "logit_bias", "top_logprobs", "schema", "seed", "stop", "greedy"}));
  Request request;
  auto& sampling = request.sampling;
  request.max_tokens = TRY(count_or(message, "max_tokens", 1));
  sampling.top_k = TRY(count_or(message, "top_k", 0));
  sampling.temperature = TRY(number_or(message, "temperature", 1));
  sampling.top_p = TRY(number_or(message, "top_p", 1));
  sampling.min_p = TRY(number_or(message, "min_p", 0));
  sampling.repetition_penalty = TRY(number_or(message, "repetition_penalty", 1));
  sampling.presence_penalty = TRY(number_or(message, "presence_penalty", 0));
  sampling.frequency_penalty = TRY(number_or(message, "frequency_penalty", 0));
  if (const auto* bias = find(message, "logit_bias")) sampling.logit_bias = TRY(parse_logit_bias(*bias));
  if (const auto* seed = find(message, "seed")) {
    if (!seed->is_number_integer()) return bad("seed must be a whole number");
    sampling.seed = seed->is_number_unsigned() ? seed->get<std::uint64_t>() : static_cast<std::uint64_t>(seed->get<std::int64_t>());
  }
  if (find(message, "greedy")) sampling.greedy = TRY(json_bool(message, "greedy", "request"));
  if (find(message, "top_logprobs")) request.top_logprobs = static_cast<std::size_t>(TRY(count_or(message, "top_logprobs", 0)));
  if (find(message, "scope")) request.owner.scope = TRY(json_string(message, "scope", "request"));
  if (request.owner.scope.size() > kScopeBytesMax) return bad("a scope has at most 512 bytes");
  if (find(message, "adapter")) (void)TRY(json_string(message, "adapter", "request"));
  if (find(message, "schema")) request.grammar = TRY(parse_schema(TRY(json_string(message, "schema", "request"))));
  if (const auto* stop = find(message, "stop")) request.stop = TRY(parse_stops(*stop));
  return request;
}

}  // namespace redoubt::engine::generate
