// SPDX-License-Identifier: Apache-2.0
//
// What is found in what an endpoint was asked, where its captures are not in the workspace: runs that compare them with the
// baseline that was made of the training data at its deployment. Used by one thread.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"

namespace redoubt::provider {

struct MonitorRun {
  std::string name;  // of the run, as its service has it
  // rows, decided, drift, features, alarm_value (docs/formats/sagemaker.md, drift.json).
  Json drift = Json::object();
  // As SageMaker Model Monitor writes them.
  Json statistics = Json::object(), constraints = Json::object(), violations = Json::object();
};

class EndpointMonitor {
 public:
  virtual ~EndpointMonitor() = default;
  // Starts a run and waits for its end. not_found where nothing watches the environment; unavailable, with the service's own reason,
  // where the run failed. A run that could not decide is a result.
  virtual Result<MonitorRun> run(const std::string& environment) = 0;
  // The newest run that ended well, whoever started it; nothing where none did.
  virtual Result<std::optional<MonitorRun>> newest(const std::string& environment) = 0;
};

}  // namespace redoubt::provider
