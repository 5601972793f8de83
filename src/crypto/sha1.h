// SPDX-License-Identifier: Apache-2.0
//
// SHA-1 (FIPS 180-4), for names that others' tools have chosen with it. Never for a proof.
#pragma once

#include <string>
#include <string_view>

namespace redoubt::crypto {

// 40 hexadecimal digits.
std::string sha1_name(std::string_view text);

}  // namespace redoubt::crypto
