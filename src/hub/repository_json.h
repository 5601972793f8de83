// SPDX-License-Identifier: Apache-2.0
//
// A repository's files with their digests and what the scan said, as the mirror remembers them (docs/formats/hub.md).
#pragma once

#include "hub/repository.h"

namespace redoubt::hub {

std::string to_text(const Repository& repository, const std::string& scanner);
// Without the files' locations. invalid_argument, or unsupported for what another scanner looked at.
Result<Repository> parse_repository(std::string_view text, const std::string& scanner, std::string_view where);

}  // namespace redoubt::hub
