// SPDX-License-Identifier: Apache-2.0
//
// JSON with bounds: parsing never throws, refuses duplicate keys, invalid UTF-8 and deep nesting, and says where.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace redoubt {

// Objects keep their keys sorted, so a dump of equal values is equal bytes.
using Json = nlohmann::json;

struct JsonLimits {
  std::size_t bytes_max = 64 << 20;
  std::size_t depth_max = 64;
};

// `where` names the text in errors (a file, a request body). Errors are invalid_argument or limit_exceeded.
Result<Json> parse_json(std::string_view text, std::string_view where, JsonLimits limits = {});

// Compact, keys sorted, UTF-8. Strings that are not UTF-8 are written with U+FFFD; callers validate before.
std::string dump_json(const Json& value);

// Members of an object; a missing member or one of another type is invalid_argument that names `where` and the key.
Result<std::string> json_string(const Json& object, const char* key, std::string_view where);
Result<std::int64_t> json_integer(const Json& object, const char* key, std::string_view where);
Result<double> json_number(const Json& object, const char* key, std::string_view where);
Result<bool> json_bool(const Json& object, const char* key, std::string_view where);
Result<Json> json_object(const Json& object, const char* key, std::string_view where);
Result<Json> json_array(const Json& object, const char* key, std::string_view where);

// A member, or the fallback where it is missing, has another type than the fallback, or does not fit into it. For what is shown
// or may be absent; never throws, unlike Json::value.
std::string json_or(const Json& object, const char* key, const char* fallback);
std::int64_t json_or(const Json& object, const char* key, std::int64_t fallback);
double json_or(const Json& object, const char* key, double fallback);
bool json_or(const Json& object, const char* key, bool fallback);
// The fallback's type decides: an empty object, an empty array, or null for whatever stands there.
Json json_or(const Json& object, const char* key, const Json& fallback);

}  // namespace redoubt
