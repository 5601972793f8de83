// SPDX-License-Identifier: Apache-2.0
//
// The seven steps, one after the other. Each is reused when nothing that decides it has changed, so that a run that was
// killed or that waited for a person goes on where it stopped.
#pragma once

#include <functional>
#include <optional>

#include "governance/chain.h"
#include "pipeline/config.h"
#include "provider/model_registry.h"

namespace redoubt::pipeline {

// How the runner does each step; the command line binds them to stages and providers.
struct Steps {
  std::function<Result<governance::AcquiredModel>()> acquire;
  std::function<Result<governance::PreparedData>()> prepare_data;
  std::function<Result<governance::BuiltImage>()> build_image;
  std::function<Result<governance::TrainedModel>(const governance::AcquiredModel&, const governance::PreparedData&, const governance::BuiltImage&)> train;
  std::function<Result<governance::Evaluation>(const governance::AcquiredModel&, const governance::PreparedData&, const governance::BuiltImage&,
                                               const governance::TrainedModel&)>
      evaluate;
  std::function<Result<governance::RegisteredVersion>(const governance::AcquiredModel&, const governance::PreparedData&, const governance::BuiltImage&,
                                                      const governance::TrainedModel&, const governance::Evaluation&)>
      publish;
  // The version as the registry has it now.
  std::function<Result<provider::ModelVersion>(const governance::RegisteredVersion&)> look_up;
  std::function<Result<governance::Deployment>(const provider::ModelVersion&)> deploy;
};

// One line of the final table.
struct StepRow {
  std::string step, outcome, digest;
  double seconds = 0;
  bool reused = false;
};

struct RunReport {
  std::vector<StepRow> rows;
  std::string name, version, state;
  std::optional<Error> stopped;  // why it did not come to its end: a gate, a person who has to decide, a failure
};

// `started` is told of each step before it runs. A failure is in the report, beside the rows that were done.
RunReport run(const Steps& steps, const std::function<void(int number, std::string_view step)>& started);

}  // namespace redoubt::pipeline
