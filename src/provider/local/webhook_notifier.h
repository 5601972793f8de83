// SPDX-License-Identifier: Apache-2.0
//
// Notifications as signed HTTPS requests (docs/formats/webhook.md). The receiver's certificate is always checked; plain HTTP
// goes to this machine alone; no redirect is followed.
#pragma once

#include <functional>
#include <memory>

#include "base/clock.h"
#include "provider/notifier.h"
#include "provider/secret_store.h"

namespace redoubt::provider::local {

struct WebhookOptions {
  std::string url;          // https, or http to a loopback address
  std::string ca_file;      // PEM, then these authorities alone; empty: the system's
  std::string secret_name;  // of the signing key in the secret store; empty: not signed
  int attempts_max = 3;     // of one notification, while the receiver is unavailable
  int attempt_s_max = 5;    // from the connection to the answer
  int backoff_ms = 500;     // before the second attempt; doubled before each further one
};

class WebhookNotifier final : public Notifier {
 public:
  // invalid_argument for a URL that is not allowed or authorities that can't be read, not_found when there is no such secret.
  // The stores outlive the notifier; the key is read for each notification, so that a rotated one is used at once.
  static Result<std::unique_ptr<WebhookNotifier>> create(WebhookOptions options, SecretStore& secrets, const Clock& clock);
  Result<std::function<Status()>> prepare(const std::string& subject, const Json& body) override;

 private:
  WebhookNotifier(WebhookOptions options, SecretStore& secrets, const Clock& clock) : options_(std::move(options)), secrets_(secrets), clock_(clock) {}
  const WebhookOptions options_;
  SecretStore& secrets_;
  const Clock& clock_;
};

}  // namespace redoubt::provider::local
