// SPDX-License-Identifier: Apache-2.0
//
// For functions of which the compiler makes one version a vector width and the loader picks the machine's (AVX-512, AVX2, plain).
#pragma once

#define REDOUBT_VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
// For what they call: always inlined, so that it is compiled for the caller's instructions.
#define REDOUBT_INLINE [[gnu::always_inline]] inline
