// SPDX-License-Identifier: Apache-2.0
//
// The endpoint's description of itself: an OpenAPI 3.1 document made from the route table and from the limits that hold, so that it
// can't say what is not served.
#pragma once

#include <vector>

#include "base/json.h"
#include "gateway/route.h"
#include "openai/request.h"

namespace redoubt::gateway {

// What is served at the moment.
struct Served {
  std::vector<std::string> models;  // as requests name them
  bool knows_tools = false;
  int embedding_length = 0;  // 0: the engine makes none
};

Json open_api(const std::vector<RouteInfo>& routes, const openai::RequestLimits& limits, const Served& served);

}  // namespace redoubt::gateway
