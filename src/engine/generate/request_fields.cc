// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/request_fields.h"

#include <algorithm>

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

Result<Request> parse_options(const Json& message) {
  TRY(expect_fields(message, {"type", "id", "messages", "prompt", "max_tokens", "temperature", "top_p", "top_k", "seed", "stop", "greedy"}));
  Request request;
  request.max_tokens = TRY(count_or(message, "max_tokens", 1));
  request.sampling.top_k = TRY(count_or(message, "top_k", 0));
  request.sampling.temperature = TRY(number_or(message, "temperature", 1));
  request.sampling.top_p = TRY(number_or(message, "top_p", 1));
  if (const auto* seed = find(message, "seed")) {
    if (!seed->is_number_integer()) return bad("seed must be a whole number");
    request.sampling.seed = seed->is_number_unsigned() ? seed->get<std::uint64_t>() : static_cast<std::uint64_t>(seed->get<std::int64_t>());
  }
  if (find(message, "greedy")) request.sampling.greedy = TRY(json_bool(message, "greedy", "request"));
  if (const auto* stop = find(message, "stop")) request.stop = TRY(parse_stops(*stop));
  TRY(check_sampling(request.sampling));
  return request;
}

}  // namespace redoubt::engine::generate
