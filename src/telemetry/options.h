// SPDX-License-Identifier: Apache-2.0
//
// `deploy.telemetry` of the pipeline file: where answered requests are told (docs/endpoint.md).
#pragma once

#include <optional>

#include "base/json.h"
#include "telemetry/access_log.h"
#include "telemetry/trace_exporter.h"

namespace redoubt::telemetry {

struct TelemetryOptions {
  std::optional<AccessLogOptions> access_log;
  std::optional<TraceOptions> traces;
  double traces_share = 1;  // of requests that bring no traceparent
};

// invalid_argument names the member.
Result<TelemetryOptions> read_telemetry(const Json& json);

}  // namespace redoubt::telemetry
