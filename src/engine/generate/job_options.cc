// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/job_options.h"

#include <thread>

namespace redoubt::engine::generate {

Result<ModelOptions> model_options(const job::Hyperparameters& values) {
  ModelOptions options;
  if (TRY(values.choice("dtype", "bf16", {"bf16", "fp32"})) == "fp32") options.precision = model::Precision::fp32;
  options.weights = TRY(model::parse_weight_format(TRY(values.choice("weights", "bf16", {"bf16", "int8", "int4"}))));
  return options;
}

Status use_threads(const job::Hyperparameters& values) {
  const auto threads = TRY(values.integer("threads", 0, 0, 1024));
  at::set_num_threads(static_cast<int>(threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency())));
  return {};
}

}  // namespace redoubt::engine::generate
