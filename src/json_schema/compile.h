// SPDX-License-Identifier: Apache-2.0
//
// A JSON Schema as a grammar of exactly such JSON texts as it accepts, so that an answer can be held to it while it is made.
//
// Understood: type (one or a list), properties, required, additionalProperties, items, minItems, maxItems, enum, const, minLength,
// maxLength, pattern, format (formats.h), minimum, maximum, exclusiveMinimum, exclusiveMaximum, anyOf, oneOf whose branches exclude one another, allOf of
// one, $ref within the document, $defs; annotations (title, description, default, examples, $comment, $schema, $id at the top,
// deprecated, readOnly, writeOnly, discriminator) are passed over. Every other keyword is unsupported by its name and place, as is a known one that
// would have to be combined with another in a way that is not done.
//
// Texts are narrower than what JSON allows, never wider than the schema: members come in the order of `properties`, then additional
// ones; where additionalProperties is absent there are additional ones only if no property is named; between tokens stands nothing, one
// space, or a line feed and up to 32 spaces. Numbers: see numbers.h.
#pragma once

#include <memory>
#include <string_view>

#include "json_schema/grammar.h"

namespace redoubt::json_schema {

struct CompileLimits {
  std::size_t bytes_max = 64 << 10;
  std::size_t schema_depth_max = 32;
  std::size_t members_max = 512;        // of one object or list in the schema
  std::size_t length_max = 1'000'000;   // of minLength, maxItems and their like
  std::size_t length_nodes_max = 8'000; // of a pattern together with lengths
  GrammarLimits grammar = {};
};

// Errors are unsupported, invalid_argument or limit_exceeded; `where` is the place in the schema, "#/properties/a".
Result<std::shared_ptr<const Grammar>> compile_schema(std::string_view schema, CompileLimits limits = {});

// Any JSON object.
std::shared_ptr<const Grammar> any_object();

}  // namespace redoubt::json_schema
