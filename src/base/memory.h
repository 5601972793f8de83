// SPDX-License-Identifier: Apache-2.0
//
// What a process that serves for months does with memory that it needed for a moment: the C library's allocator would keep it.
#pragma once

namespace redoubt {

// Once, before there are threads: few heaps for all of them, and large blocks go back to the system as soon as they are freed.
void keep_memory_small();

}  // namespace redoubt
