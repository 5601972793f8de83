// SPDX-License-Identifier: Apache-2.0
//
// Where alarms and incidents are told: a webhook, mail, SNS. At-least-once: an answer of success means the receiver took it.
#pragma once

#include <string>

#include "base/json.h"

namespace redoubt::provider {

class Notifier {
 public:
  virtual ~Notifier() = default;
  // `subject` is one line; `body` carries no personal data and no secret. unavailable is worth a retry.
  virtual Status notify(const std::string& subject, const Json& body) = 0;
};

}  // namespace redoubt::provider
