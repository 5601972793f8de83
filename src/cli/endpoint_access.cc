// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_access.h"

#include "base/file.h"
#include "base/log.h"
#include "base/monotonic_clock.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "crypto/x509.h"
#include "http/client.h"

namespace redoubt::cli {
namespace {

constexpr std::uint64_t kFileBytesMax = 1 << 20;
constexpr auto kFetchEvery = std::chrono::minutes(5);

Result<Secret> source_key(Session& session) {
  const auto file = TRY(session.workspace().state_file("refusal-sources"));
  if (!file.exists()) TRY(file.write(crypto::random_bytes(32)));
  return Secret(TRY(file.read()));
}

}  // namespace

Result<std::unique_ptr<EndpointAccess>> EndpointAccess::create(const Json& options, const Clock& clock) {
  auto read = TRY(gateway::read_access(options));
  std::unique_ptr<EndpointAccess> access(new EndpointAccess(std::move(read), clock));
  if (!access->options_.oidc) return access;
  const auto keys = TRY(access->key_set());
  access->tokens_ = TRY(gateway::TokenIssuer::create(access->options_.oidc->rules, keys, clock));
  access->fetched_ = monotonic_clock().now();
  return access;
}

Result<std::string> EndpointAccess::key_set() const {
  const auto& oidc = *options_.oidc;
  if (!oidc.key_set_file.empty()) return to_text(TRY(read_file(oidc.key_set_file, kFileBytesMax)));
  http::ClientOptions client;
  client.ca_file = oidc.ca_file;
  client.connect_s_max = 5;
  client.total_s_max = 15;
  client.redirects_max = 0;  // where the keys come from is configured, and nobody else's to say
  http::ClientRequest request;
  request.url = oidc.key_set_url;
  request.bytes_max = kFileBytesMax;
  return TRY(http::Client(client).fetch(request)).second;
}

Result<std::optional<std::pair<std::string, Secret>>> EndpointAccess::certificate() const {
  if (options_.certificate_file.empty()) return std::nullopt;
  auto chain = to_text(TRY(read_file(options_.certificate_file, kFileBytesMax)));
  Secret key(TRY(read_file(options_.key_file, kFileBytesMax)));
  const auto info = TRY(crypto::read_certificate(chain));
  if (info.not_after <= clock_.now()) return fail(ErrorCode::invalid_argument, "the endpoint's certificate has expired, on " + to_rfc3339(info.not_after), options_.certificate_file, "put a new chain and its key there");
  return std::pair(std::move(chain), std::move(key));
}

Status EndpointAccess::configure(gateway::GatewayOptions& options) const {
  options.signing.region = options_.aws_region;
  options.certificates = options_.certificates;
  options.tenants = options_.tenants;
  options.prices = options_.prices;
  options.server.client_certificates = options_.client_certificates;
  if (options_.client_certificates != crypto::ClientCertificates::none) options.server.client_roots_pem = to_text(TRY(read_file(options_.client_ca_file, kFileBytesMax)));
  return {};
}

void EndpointAccess::refresh() {
  const auto now = monotonic_clock().now();
  if (!options_.oidc || (options_.oidc->key_set_file.empty() && now - fetched_ < kFetchEvery)) return;
  fetched_ = now;
  const auto keys = key_set();
  const auto replaced = keys ? tokens_->replace_keys(*keys) : Status(fail(keys.error()));
  if (!replaced) spdlog::error("the issuer's keys can't be read again, those before hold: {} ({})", replaced.error().message, replaced.error().where);
}

Status record_refusals(Session& session, const std::string& environment, gateway::RefusalLog& refusals) {
  const auto counts = refusals.take();
  if (counts.empty()) return {};
  const auto key = TRY(source_key(session));
  Json entries = Json::array();
  for (const auto& one : counts) {
    spdlog::warn("refused {} times: {} from {}", one.count, one.reason, one.source);
    const bool is_address = one.source != "others" && !one.source.starts_with("key ");
    const auto source = is_address ? "source-" + crypto::hmac_sha256(key, view_of(one.source)).hex().substr(0, 16) : one.source;
    entries.push_back({{"source", source}, {"reason", one.reason}, {"count", one.count}, {"first", to_rfc3339(one.first)}, {"last", to_rfc3339(one.last)}});
  }
  TRY(session.record_event("refusal", {{"environment", environment}, {"refused", std::move(entries)}}));
  return {};
}

}  // namespace redoubt::cli
