// SPDX-License-Identifier: Apache-2.0
//
// Secrets that end up in images: known forms of keys and tokens in bytes, and names of variables that hold one. What was found is
// told by its kind and its place, never by its text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/stream.h"

namespace redoubt::stages::image::recipe {

struct FoundSecret {
  std::string kind;        // "private key", "AWS access key", ...
  std::uint64_t offset = 0;
};

// The first of each kind in the text.
std::vector<FoundSecret> secrets_in(std::string_view text);
// The same of a stream, in pieces that overlap.
Result<std::vector<FoundSecret>> secrets_in(Source& contents);

// Whether a variable of that name is for a secret ("DB_PASSWORD", "API_KEY"); a name that ends in _FILE or _PATH names a place.
bool is_secret_name(std::string_view name);
// Whether the value is one: not empty, no reference to another variable, no placeholder.
bool is_secret_value(std::string_view value);
// A file whose name says that it holds credentials: ".env", "id_rsa", ".aws/credentials"; what it is called, or nothing.
std::optional<std::string> credential_file(std::string_view path);

}  // namespace redoubt::stages::image::recipe
