// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/file.h"
#include "provider/object_store.h"
#include "provider/secret_store.h"

namespace redoubt::provider {
namespace {

// [A-Za-z0-9._-] parts joined by '/'.
bool is_plain_path(std::string_view text, std::size_t bytes_max) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' ||
           c == '/';
  };
  return text.size() <= bytes_max && std::all_of(text.begin(), text.end(), allowed) && is_safe_relative_path(text);
}

}  // namespace

bool is_object_key(std::string_view key) {
  return is_plain_path(key, 512) && key.front() != '.' && key.find("/.") == key.npos;
}

bool is_secret_name(std::string_view name) { return is_plain_path(name, 256); }

Status check_secret(std::string_view name, const Secret& value) {
  if (!is_secret_name(name)) {
    return fail(ErrorCode::invalid_argument, "not a name for a secret", std::string(name.substr(0, 256)),
                "use letters, digits, '.', '_' and '-' in parts joined by '/'");
  }
  if (value.empty()) return fail(ErrorCode::invalid_argument, "a secret may not be empty", std::string(name));
  if (value.size() > kSecretBytesMax) {
    return fail(ErrorCode::limit_exceeded, "a secret holds at most 65,536 bytes", std::string(name));
  }
  return {};
}

}  // namespace redoubt::provider
