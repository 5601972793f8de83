// SPDX-License-Identifier: Apache-2.0
#include "provider/local/webhook_notifier.h"

#include <thread>

#include "base/file.h"
#include "crypto/hash.h"
#include "http/client.h"

namespace redoubt::provider::local {
namespace {

constexpr std::size_t kAuthoritiesBytesMax = 1 << 20;
constexpr std::uint64_t kAnswerBytesMax = 1 << 20;

Status send(const WebhookOptions& webhook, const http::ClientRequest& request) {
  http::ClientOptions options;
  options.ca_file = webhook.ca_file;
  options.allow_plain_loopback = true;
  options.connect_s_max = options.stalled_s_max = options.total_s_max = webhook.attempt_s_max;
  options.redirects_max = 0;
  const http::Client client(options);
  int wait_ms = webhook.backoff_ms;
  for (int attempt = 1;; ++attempt, wait_ms *= 2) {
    const auto answer = client.fetch(request);
    if (answer && answer->first.status < 300) return {};
    if (answer) return fail(ErrorCode::unsupported, "the webhook answered with a redirect, which is not followed", http::without_query(webhook.url), "name the final address");
    if (answer.error().code != ErrorCode::unavailable || attempt >= webhook.attempts_max) {
      return fail(answer.error().code, "the webhook did not take it: " + answer.error().message, http::without_query(webhook.url));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
  }
}

}  // namespace

Result<std::unique_ptr<WebhookNotifier>> WebhookNotifier::create(WebhookOptions options, SecretStore& secrets, const Clock& clock) {
  const auto url = TRY(http::parse_url(options.url));
  if (!http::is_safe_way(url)) {
    return fail(ErrorCode::invalid_argument, "a webhook must be https", http::without_query(options.url), "only a receiver on this machine may be plain http");
  }
  if (!options.ca_file.empty()) (void)TRY(read_text_file(options.ca_file, kAuthoritiesBytesMax));
  if (!options.secret_name.empty()) {
    if (auto key = secrets.get(options.secret_name); !key) {
      return fail(key.error().code, "the webhook's signing key can't be read: " + key.error().message, options.secret_name, "put one: redoubt secret put " + options.secret_name);
    }
  }
  return std::unique_ptr<WebhookNotifier>(new WebhookNotifier(std::move(options), secrets, clock));
}

Result<std::function<Status()>> WebhookNotifier::prepare(const std::string& subject, const Json& body) {
  TRY(check_notification(subject, body));
  Json payload = body;
  payload["version"] = 1;
  payload["subject"] = subject;
  payload["sent"] = to_rfc3339(clock_.now());  // under the signature, so that an old one can't be sent again unseen
  http::ClientRequest request;
  request.method = "POST";
  request.url = options_.url;
  request.body = dump_json(payload);
  request.bytes_max = kAnswerBytesMax;
  request.headers.add("Content-Type", "application/json");
  if (!options_.secret_name.empty()) {
    const Secret key = TRY(secrets_.get(options_.secret_name));
    request.headers.add("X-Redoubt-Signature", "sha256=" + crypto::hmac_sha256(key, view_of(request.body)).hex());
  }
  return [options = options_, request = std::move(request)] { return send(options, request); };
}

}  // namespace redoubt::provider::local
