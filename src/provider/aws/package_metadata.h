// SPDX-License-Identifier: Apache-2.0
//
// Any text as CustomerMetadataProperties of a model package, whose values have at most 256 characters of few kinds: as it is
// where it fits, else in base64url, in as many properties as it takes.
#pragma once

#include <string>

#include "base/json.h"

namespace redoubt::provider::aws {

// Adds `text` under `key`, or under key.0, key.1... Text that needs more than 30 properties is cut; an empty one takes none.
void pack_text(Json& properties, const std::string& key, const std::string& text);
// What pack_text was given; empty where nothing is. tampered for what it never writes.
Result<std::string> unpack_text(const Json& properties, const std::string& key);

// The start of a text that has at most so many bytes and ends at a character's end.
std::string cut_text(const std::string& text, std::size_t bytes_max);

}  // namespace redoubt::provider::aws
