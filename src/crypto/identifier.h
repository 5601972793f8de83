// SPDX-License-Identifier: Apache-2.0
//
// Random names of requests, spans and answers, and seeds that are told: what is public once it is used. Drawn from the system's generator
// for many at once, since each call of it costs more than all the rest of a name. Keys and nonces never come from here.
#pragma once

#include <string>

#include "base/bytes.h"

namespace redoubt::crypto {

void draw_identifier(MutableByteView bytes);
// Two hexadecimal digits a byte.
std::string draw_identifier(std::size_t bytes);

}  // namespace redoubt::crypto
