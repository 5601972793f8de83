// SPDX-License-Identifier: Apache-2.0
//
// Who asks, and what will be told of the asking.
#pragma once

#include <memory>

#include "gateway/api_key.h"
#include "telemetry/request_record.h"

namespace redoubt::gateway {

struct Caller : ApiKeyInfo {
  std::shared_ptr<telemetry::Observation> seen = {};  // never null within a route's action
};

}  // namespace redoubt::gateway
