// SPDX-License-Identifier: Apache-2.0
//
// An EndpointHost in memory, for tests: serves what it is told at once, and fails as often as it is asked to.
#pragma once

#include <map>

#include "provider/endpoint_host.h"

namespace redoubt::provider::testing {

class FakeEndpointHost final : public EndpointHost {
 public:
  Result<EndpointStatus> deploy(const EndpointSpec& spec) override {
    if (failures_left > 0) return --failures_left, fail(ErrorCode::unavailable, "a failure that the test asked for", spec.environment);
    EndpointStatus& status = serving[spec.environment];
    status.running = true;
    status.state = "serving";
    status.url = "https://" + spec.environment + ".test";
    status.name = spec.model;
    status.version = spec.version;
    status.deployment = spec.deployment;
    return status;
  }
  Result<EndpointStatus> status(const std::string& environment) override {
    const auto found = serving.find(environment);
    if (found != serving.end()) return found->second;
    EndpointStatus none;
    none.state = "stopped";
    return none;
  }
  Status withdraw(const std::string& environment, const std::string& model, const std::string& version) override {
    const auto found = serving.find(environment);
    if (found != serving.end() && found->second.name == model && found->second.version == version) serving.erase(found);
    return {};
  }
  Status stop(const std::string& environment) override { return serving.erase(environment), Status(); }

  std::map<std::string, EndpointStatus> serving;
  int failures_left = 0;
};

}  // namespace redoubt::provider::testing
