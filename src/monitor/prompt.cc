// SPDX-License-Identifier: Apache-2.0
#include "monitor/prompt.h"

#include "base/bytes.h"

namespace redoubt::monitor {
namespace {

constexpr JsonLimits kBodyLimits{.bytes_max = 8 << 20, .depth_max = 32};

// The member, or null: for values of which nothing is known yet.
const Json& member(const Json& value, const char* key) {
  static const Json kNull;
  if (!value.is_object()) return kNull;
  const auto found = value.find(key);
  return found == value.end() ? kNull : *found;
}

std::string content_text(const Json& content) {
  if (content.is_string()) return content.get_ref<const std::string&>();
  std::string text;
  if (!content.is_array()) return text;
  for (const auto& part : content) {
    const Json& piece = part.is_string() ? part : member(part, "text");
    if (piece.is_string()) text += piece.get_ref<const std::string&>();
  }
  return text;
}

std::string last_of_user(const Json& messages) {
  if (!messages.is_array()) return "";
  for (auto at = messages.rbegin(); at != messages.rend(); ++at) {
    const Json& role = member(*at, "role");
    if (role.is_string() && role.get_ref<const std::string&>() == "user") return content_text(member(*at, "content"));
  }
  return "";
}

}  // namespace

std::optional<std::string> prompt_of(const Json& body) {
  std::string prompt = last_of_user(member(body, "messages"));
  for (const char* key : {"prompt", "inputs", "text"}) {
    if (prompt.empty()) prompt = content_text(member(body, key));
  }
  return prompt.empty() ? std::nullopt : std::optional(std::move(prompt));
}

std::optional<std::string> prompt_of_text(std::string_view body) {
  const auto json = parse_json(body, "request", kBodyLimits);
  return json ? prompt_of(*json) : std::nullopt;
}

std::optional<std::string> prompt_of_capture(const Json& line) {
  const Json& input = member(member(line, "captureData"), "endpointInput");
  const Json& data = member(input, "data");
  if (!data.is_string()) return std::nullopt;
  // SageMaker keeps what it does not take for text in base64.
  if (json_or(input, "encoding", "") != "BASE64") return prompt_of_text(data.get_ref<const std::string&>());
  const auto bytes = from_base64(data.get_ref<const std::string&>());
  return bytes ? prompt_of_text(text_of(*bytes)) : std::nullopt;
}

}  // namespace redoubt::monitor
