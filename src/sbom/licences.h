// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace redoubt::sbom {

// The SPDX identifier that a package's word for its licence means ("MIT License" -> "MIT"); nothing for one that is not known to mean exactly
// one of the common licences.
std::optional<std::string> spdx_identifier(const std::string& words);

// An SPDX expression of known identifiers with AND, OR and parentheses, as it is written; nothing for all else.
std::optional<std::string> spdx_expression(const std::string& words);

}  // namespace redoubt::sbom
