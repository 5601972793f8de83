// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/api/environment.h"

#include <cstdlib>

#include "http/message.h"

namespace redoubt::provider::aws {

Environment Environment::of_process() {
  return {[](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  }};
}

bool Environment::is_true(const std::string& name) const { return http::equal_ignoring_case(text(name), "true"); }

std::filesystem::path Environment::path(const std::string& text_given) const {
  if (text_given == "~") return text("HOME");
  if (text_given.starts_with("~/")) return std::filesystem::path(text("HOME")) / text_given.substr(2);
  return text_given;
}

}  // namespace redoubt::provider::aws
