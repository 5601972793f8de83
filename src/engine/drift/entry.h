// SPDX-License-Identifier: Apache-2.0
//
// The entry point "monitor": a processing job under SageMaker's container contract that reads what an endpoint captured and says
// whether it drifts from the baseline (docs/formats/sagemaker.md). It runs where captures are readable, so it has no key, no token
// and no network; what it writes names no prompt.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "engine/job/job.h"

namespace redoubt::engine::drift {

// A job's variables by their names, which are those of Model Monitor's containers and our own (REDOUBT_...); nothing where unset.
using Variables = std::function<std::optional<std::string>(const char* name)>;

struct MonitorPaths {
  std::filesystem::path captures, statistics, output;  // below ROOT/processing unless the variables name other places
};
MonitorPaths paths_of(const job::Paths& paths, const Variables& variables);

// invalid_argument for a baseline or a variable that can't be used. Too few prompts are a result ("undecided"), not an error.
Status monitor_captures(const job::Paths& paths, const Variables& variables, const Clock& clock, job::EventWriter& events);

// With the process's own variables and the machine's clock.
Status run_monitor(const std::filesystem::path& root);

}  // namespace redoubt::engine::drift
