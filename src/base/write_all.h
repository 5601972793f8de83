// SPDX-License-Identifier: Apache-2.0
//
// Writes to a descriptor that are not done before all of it is.
#pragma once

#include "base/bytes.h"

namespace redoubt {

// However many calls it takes, whatever interrupts them. False where one of them failed: errno says why, and a part may have been written.
[[nodiscard]] bool write_all(int fd, ByteView bytes);

// The same at the end of a file that nobody else writes (O_APPEND), all of it or nothing: where a full disk refuses the rest, what went in is
// taken off again, so that what is appended next does not stand behind half a line.
[[nodiscard]] bool append_all(int fd, ByteView bytes);

}  // namespace redoubt
