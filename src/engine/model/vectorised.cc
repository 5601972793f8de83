// SPDX-License-Identifier: Apache-2.0
#include "engine/model/vectorised.h"

namespace redoubt::engine::model::row {

Vectors best_vectors() {
  static const Vectors best = [] {
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni")) return Vectors::avx512_bf16;
    if (avx512) return Vectors::avx512;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? Vectors::avx2 : Vectors::plain;
  }();
  return best;
}

}  // namespace redoubt::engine::model::row
