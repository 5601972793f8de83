// SPDX-License-Identifier: Apache-2.0
//
// How ecosystems order versions: negative, zero or positive as `a` is older than, equal to or newer than `b`.
#pragma once

#include <string_view>

namespace redoubt::stages::image {

// Debian Policy section 5.6.12: epoch, upstream version, revision; '~' sorts before the end.
int compare_debian_versions(std::string_view a, std::string_view b);
// PEP 440; a text that is no such version sorts before all that are.
int compare_python_versions(std::string_view a, std::string_view b);

// By the rules of an OSV ecosystem: PEP 440 for "PyPI", dpkg's for all else.
int compare_versions(std::string_view ecosystem, std::string_view a, std::string_view b);

}  // namespace redoubt::stages::image
