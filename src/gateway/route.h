// SPDX-License-Identifier: Apache-2.0
//
// The routes as tests and documents read them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gateway/api_key.h"

namespace redoubt::gateway {

struct RouteInfo {
  std::string method;
  std::string pattern;         // OpenAPI's form: "{name}" stands for exactly one segment
  std::optional<Scope> scope;  // nothing: open to anybody
  std::string summary;
  std::string body = {};    // of the request: a schema of the document; empty: none
  std::string answer = {};  // of 200: a schema, or a media type for what is no JSON; empty: no body
};

// Whether a path, as it was sent, is one of the pattern's.
bool matches(std::string_view pattern, std::string_view path);
// The decoded text of the pattern's one "{...}" segment in a path that matches.
std::string segment_of(std::string_view pattern, std::string_view path);

}  // namespace redoubt::gateway
