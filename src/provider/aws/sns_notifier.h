// SPDX-License-Identifier: Apache-2.0
//
// Notifications to an SNS topic. The message is what a webhook's body is (docs/formats/webhook.md), without its signature: SNS
// signs. The body's `name`, `state` and `environment` are message attributes, for subscriptions that filter.
#pragma once

#include <memory>

#include "base/clock.h"
#include "provider/aws/api/client.h"
#include "provider/notifier.h"

namespace redoubt::provider::aws {

struct SnsNotifierOptions {
  std::string topic_arn;  // "arn:aws:sns:<region>:<account>:<name>"; a name that ends in .fifo is a FIFO topic's
};

class SnsNotifier final : public Notifier {
 public:
  // invalid_argument unless it is a topic's ARN in the client's region, which is the only one that it can be reached in. The client
  // and the clock outlive the notifier.
  static Result<std::unique_ptr<SnsNotifier>> create(SnsNotifierOptions options, Client& client, const Clock& clock);
  Result<std::function<Status()>> prepare(const std::string& subject, const Json& body) override;

 private:
  SnsNotifier(SnsNotifierOptions options, Client& client, const Clock& clock) : options_(std::move(options)), client_(client), clock_(clock) {}
  const SnsNotifierOptions options_;
  Client& client_;
  const Clock& clock_;
};

// What SNS takes as a subject: printable ASCII, shorter than 100 characters, not starting with a blank.
std::string sns_subject(const std::string& subject);

}  // namespace redoubt::provider::aws
