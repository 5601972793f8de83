// SPDX-License-Identifier: Apache-2.0
//
// What resources of an account are like now, whoever changed them last: the properties that keep data, keys and records safe, under
// the names that CloudFormation has for them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "provider/aws/api/client.h"

namespace redoubt::provider::aws::stack {

struct LiveResource {
  bool is_there = false;
  Json properties = Json::object();           // those that were read
  std::vector<std::string> too_open = {};     // what no template of ours would have: "0.0.0.0/0 comes in on port 22"
  std::optional<TimePoint> value_made = {};   // of a secret's newest value
  std::vector<std::string> notes = {};        // what nobody can set by a template
};

// `id` is the physical id; `wanted` the properties that the template gives it. Empty for types that nobody reads here.
Result<std::optional<LiveResource>> read_live(Client& client, const std::string& type, const std::string& id, const Json& wanted);

}  // namespace redoubt::provider::aws::stack
