// SPDX-License-Identifier: Apache-2.0
#include "openai/control_tokens.h"

#include <algorithm>
#include <string_view>

#include "base/json.h"

namespace redoubt::openai {
namespace {

bool holds_control_token(std::string_view text, const std::vector<std::string>& tokens) {
  return std::any_of(tokens.begin(), tokens.end(), [&](const auto& token) { return text.find(token) != text.npos; });
}

// Every string within a JSON text that was read before, names too.
bool json_holds_control_token(const Json& value, const std::vector<std::string>& tokens) {
  if (value.is_string()) return holds_control_token(value.get_ref<const std::string&>(), tokens);
  if (!value.is_structured()) return false;
  for (const auto& [key, inner] : value.items())
    if (holds_control_token(key, tokens) || json_holds_control_token(inner, tokens)) return true;
  return false;
}

}  // namespace

std::optional<std::string> field_with_control_token(const GenerateRequest& request, const std::vector<std::string>& tokens) {
  const auto json_holds = [&](const std::string& text) { return !text.empty() && json_holds_control_token(parse_json(text, "").value_or(Json()), tokens); };
  for (std::size_t i = 0; i < request.messages.size(); ++i)
    if (holds_control_token(request.messages[i].content, tokens) || json_holds(request.messages[i].json)) return "messages[" + std::to_string(i) + "].content";
  if (json_holds(request.tools)) return "tools";
  return std::nullopt;
}

}  // namespace redoubt::openai
