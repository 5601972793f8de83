// SPDX-License-Identifier: Apache-2.0
//
// A write to a descriptor that is not done before all of it is.
#pragma once

#include "base/bytes.h"

namespace redoubt {

// However many calls it takes, whatever interrupts them. False where one of them failed: errno says why, and a part may have been written.
[[nodiscard]] bool write_all(int fd, ByteView bytes);

}  // namespace redoubt
