// SPDX-License-Identifier: Apache-2.0
//
// Whether a file begins as a Python pickle: its first opcodes, of protocols 0 to 5, are followed as the unpickler would,
// with a stack of what kind each object is, and nothing is built or called. A text that merely has an opcode's letter in the
// right place soon has none on the stack, so it is not taken for one.
#pragma once

#include "base/bytes.h"

namespace redoubt::model_scan {

// As much of a file's start as is looked at; a program that does nothing for longer is for a whole walk to find.
inline constexpr std::size_t kPickleStartBytes = 1 << 20;

bool starts_as_pickle(ByteView start);

}  // namespace redoubt::model_scan
