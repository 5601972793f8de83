// SPDX-License-Identifier: Apache-2.0
//
// Checks configuration against the part of JSON Schema (2020-12) that config/schema/ uses: type, properties, required,
// additionalProperties, enum, const, minimum, maximum, exclusiveMinimum, exclusiveMaximum, minLength, maxLength, pattern,
// items, minItems, maxItems, default, $ref into #/$defs. Another keyword in a schema is our own bug (CHECK).
#pragma once

#include "base/yaml.h"

namespace redoubt {

// Fills in defaults and answers the checked value. invalid_argument names FILE:LINE, the field, what is allowed and, for an
// unknown key, the nearest known one.
Result<Json> check_against_schema(const YamlDocument& document, const Json& schema);

// The word of `known` with the smallest edit distance, if it is near enough to be a slip of the finger; else "".
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

}  // namespace redoubt
