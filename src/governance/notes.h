// SPDX-License-Identifier: Apache-2.0
//
// Small facts that change and are no evidence: the newest checkpoint of an unfinished training, which version an endpoint
// serves. Kept sealed; losing one costs work, never truth.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"

namespace redoubt::governance {

class Notes {
 public:
  virtual ~Notes() = default;
  // Nothing when there is no such note; tampered when it does not open. Names: [a-z0-9-]+.
  virtual Result<std::optional<Json>> load(const std::string& name) = 0;
  virtual Status save(const std::string& name, const Json& value) = 0;  // atomic
  virtual Status remove(const std::string& name) = 0;                   // no error when absent
};

}  // namespace redoubt::governance
