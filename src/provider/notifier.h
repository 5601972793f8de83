// SPDX-License-Identifier: Apache-2.0
//
// Where alarms and incidents are told: a webhook, mail, SNS. At-least-once: an answer of success means the receiver took it;
// after an error the receiver may have taken it all the same. Used by one thread; what it prepared may be sent by another.
#pragma once

#include <functional>
#include <string>

#include "base/json.h"

namespace redoubt::provider {

class Notifier {
 public:
  virtual ~Notifier() = default;
  // `subject` is one line; `body` is an object that carries no personal data and no secret; both have at most 64 KiB together.
  // invalid_argument for another body, limit_exceeded for a longer one. unavailable is worth a retry: nobody answered, or asked
  // to come back later; the call has tried a few times by then. Anything else needs a person to put the receiver right.
  Status notify(const std::string& subject, const Json& body) { return TRY(prepare(subject, body))(); }
  // The same in two parts, for who can't wait: this one is quick, and what it answers tries as long as `notify` does, by any one thread.
  // It may outlive the notifier, not what that was made of.
  virtual Result<std::function<Status()>> prepare(const std::string& subject, const Json& body) = 0;
};

constexpr std::size_t kNotificationBytesMax = 64 << 10;
// What `notify` refuses, for every notifier alike.
Status check_notification(const std::string& subject, const Json& body);

}  // namespace redoubt::provider
