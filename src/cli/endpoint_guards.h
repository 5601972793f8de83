// SPDX-License-Identifier: Apache-2.0
//
// What the endpoint's process makes of `deploy.guards` and `deploy.telemetry`: guards with their packs, and whoever hears of requests.
#pragma once

#include <filesystem>

#include "gateway/gateway.h"

namespace redoubt::cli {

// Of a pack of rules, and of the PEM file with the key that signed it.
inline constexpr std::uint64_t kRulePackBytesMax = 16 << 20, kRulePackKeyBytesMax = 1 << 20;

// Null where nothing is asked for. Reads the packs and their keys; a pack that its key did not sign is tampered.
Result<std::shared_ptr<const guards::Guards>> make_guards(const Json& options);

struct Telemetry {
  telemetry::Observation::Sinks sinks;
  double traces_share = 1;
};
// The access log's file is in `logs` unless it is an absolute path. `metrics` outlives what is made.
Result<Telemetry> make_telemetry(const Json& options, const std::filesystem::path& logs, gateway::GatewayMetrics& metrics);

}  // namespace redoubt::cli
