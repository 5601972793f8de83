// SPDX-License-Identifier: Apache-2.0
//
// Functions for the machine's vectors: of some the compiler makes one version a width and the loader picks (AVX-512, AVX2 with FMA, plain), others
// are written for one width and asked for by what the machine has.
#pragma once

#define REDOUBT_VECTORISED __attribute__((target_clones("avx512f", "arch=x86-64-v3", "default")))
// For what they call: always inlined, so that it is compiled for the caller's instructions.
#define REDOUBT_INLINE [[gnu::always_inline]] inline

#define REDOUBT_AVX2 __attribute__((target("avx2,fma")))
#define REDOUBT_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define REDOUBT_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")))

namespace redoubt::engine::model::row {

// What the machine has; each can also be asked for, up to the best.
enum class Vectors { plain, avx2, avx512, avx512_bf16 };
Vectors best_vectors();

}  // namespace redoubt::engine::model::row
