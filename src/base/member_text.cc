// SPDX-License-Identifier: Apache-2.0
#include "base/member_text.h"

#include <algorithm>

#include "base/json.h"

namespace redoubt {
namespace {

std::string_view without_space(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text;
}

// The size of the value that the text begins with.
std::size_t value_size(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      else if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (depth > 0 && (c == '}' || c == ']')) {
      --depth;
    } else if (depth == 0 && (c == ',' || c == ':' || c == '}' || c == ']')) {
      return i;
    }
  }
  return text.size();
}

std::optional<std::string_view> member(std::string_view json, std::string_view name) {
  auto rest = without_space(json);
  if (!rest.starts_with('{')) return std::nullopt;
  rest = without_space(rest.substr(1));
  while (rest.starts_with('"')) {
    const auto key = rest.substr(0, value_size(rest));
    rest = without_space(rest.substr(std::min(key.size() + 1, rest.size())));  // and the colon
    const auto value = rest.substr(0, value_size(rest));
    const auto key_text = Json::parse(key, nullptr, false);
    if (key_text.is_string() && key_text.get_ref<const std::string&>() == name) return value;
    rest = without_space(rest.substr(std::min(value.size() + 1, rest.size())));  // and the comma
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string_view> member_text(std::string_view json, std::initializer_list<std::string_view> path) {
  std::optional<std::string_view> at = json;
  for (const auto& name : path)
    if (at) at = member(*at, name);
  return at;
}

std::vector<std::string_view> element_texts(std::string_view json) {
  std::vector<std::string_view> elements;
  auto rest = without_space(json);
  if (!rest.starts_with('[')) return elements;
  for (rest = without_space(rest.substr(1)); !rest.empty() && !rest.starts_with(']'); rest = without_space(rest)) {
    elements.push_back(rest.substr(0, value_size(rest)));
    rest.remove_prefix(elements.back().size());
    if (rest.starts_with(',')) rest.remove_prefix(1);
  }
  return elements;
}

}  // namespace redoubt
