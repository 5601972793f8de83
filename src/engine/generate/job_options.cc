// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/job_options.h"

#include <thread>

namespace redoubt::engine::generate {

Result<model::Precision> precision_of(const job::Hyperparameters& values) {
  return TRY(values.choice("dtype", "bf16", {"bf16", "fp32"})) == "bf16" ? model::Precision::bf16 : model::Precision::fp32;
}

Status use_threads(const job::Hyperparameters& values) {
  const auto threads = TRY(values.integer("threads", 0, 0, 1024));
  at::set_num_threads(static_cast<int>(threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency())));
  return {};
}

}  // namespace redoubt::engine::generate
