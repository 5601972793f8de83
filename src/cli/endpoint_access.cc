// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_access.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/log.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "crypto/x509.h"

namespace redoubt::cli {
namespace {

constexpr std::uint64_t kFileBytesMax = 1 << 20;
constexpr auto kFirstKeysWait = std::chrono::seconds(5);
constexpr std::size_t kChangesMax = 64;  // between two looks

Result<Secret> source_key(Session& session) {
  const auto file = TRY(session.workspace().state_file("refusal-sources"));
  if (!file.exists()) TRY(file.write(crypto::random_bytes(32)));
  return Secret(TRY(file.read()));
}

Status record_counts(Session& session, const std::string& environment, const std::vector<gateway::RefusalCount>& counts) {
  const auto key = TRY(source_key(session));
  Json entries = Json::array();
  for (const auto& one : counts) {
    const bool is_address = one.source != "others" && !one.source.starts_with("key ");
    const auto source = is_address ? "source-" + crypto::hmac_sha256(key, view_of(one.source)).hex().substr(0, 16) : one.source;
    entries.push_back({{"source", source}, {"reason", one.reason}, {"count", one.count}, {"first", to_rfc3339(one.first)}, {"last", to_rfc3339(one.last)}});
  }
  TRY(session.record_event("refusal", {{"environment", environment}, {"refused", std::move(entries)}}));
  return {};
}

// With the member of the configuration and the file that it names.
Status named(const char* member, const std::string& file, Status checked) {
  if (!checked) checked.error().where = fmt::format("deploy.access.{}: {}", member, file);
  return checked;
}

}  // namespace

Result<std::unique_ptr<EndpointAccess>> EndpointAccess::create(const Json& options, const Clock& clock, gateway::GatewayMetrics& metrics) {
  auto read = TRY(gateway::read_access(options));
  std::unique_ptr<EndpointAccess> access(new EndpointAccess(std::move(read), clock));
  if (access->options_.oidc) TRY(access->take_keys(metrics));
  return access;
}

Status EndpointAccess::check_files(const Json& options, const Clock& clock) {
  auto read = TRY(gateway::read_access(options));
  const EndpointAccess access(std::move(read), clock);
  const auto& known = access.options_;
  if (known.oidc && !known.oidc->key_set_file.empty()) {
    const auto issuer = access.issuer_of_file();
    if (!issuer) return named("oidc.key_set_file", known.oidc->key_set_file, fail(issuer.error()));
  }
  if (!known.certificate_file.empty()) TRY(named("certificate_file", known.certificate_file, access.check_certificate()));
  if (!known.client_ca_file.empty()) TRY(named("client_certificates.ca_file", known.client_ca_file, access.check_client_authorities()));
  return {};
}

Result<std::unique_ptr<gateway::TokenIssuer>> EndpointAccess::issuer_of_file() const {
  const auto keys = TRY(read_file(options_.oidc->key_set_file, kFileBytesMax));
  return gateway::TokenIssuer::create(options_.oidc->rules, text_of(keys), clock_);
}

Status EndpointAccess::check_certificate() const {
  auto own = TRY(certificate());
  (void)TRY(crypto::TlsServerContext::create({std::move(own->first), std::move(own->second), options_.allow_tls_1_2}));
  return {};
}

Status EndpointAccess::check_client_authorities() const {
  gateway::GatewayOptions gateway;
  TRY(configure(gateway));
  const auto made = TRY(crypto::make_ca({"check", clock_.now(), 1}));  // of nobody: a server has some certificate
  (void)TRY(crypto::TlsServerContext::create({made.certificate, made.key.to_pem(), options_.allow_tls_1_2, options_.client_certificates, gateway.server.client_roots_pem}));
  return {};
}

Status EndpointAccess::take_keys(gateway::GatewayMetrics& metrics) {
  const auto& oidc = *options_.oidc;
  if (!oidc.key_set_file.empty()) {
    tokens_ = TRY(issuer_of_file());
    return {};
  }
  if (!oidc.source.ca_file.empty()) (void)TRY(read_file(oidc.source.ca_file, kFileBytesMax));  // a wrong name is known now, not at the first token
  tokens_ = TRY(gateway::TokenIssuer::create(oidc.rules, clock_));
  fetched_ = std::make_unique<gateway::IssuerKeys>(oidc.source, *tokens_, gateway::fetch_over_https(oidc.source.ca_file), [this, &metrics](const Status& fetched, std::size_t keys) {
    metrics.add_key_fetch(fetched.has_value(), keys, clock_.now());
    hear(fetched, keys);
  });
  (void)fetched_->wait_first(kFirstKeysWait);
  return {};
}

// Each failure goes to the log, and to the ledger that it began and ended.
void EndpointAccess::hear(const Status& fetched, std::size_t keys) {
  const auto& issuer = options_.oidc->rules.issuer;
  if (!fetched) spdlog::error("the keys of the issuer {} can't be fetched, {} hold on: {} ({})", issuer, keys, fetched.error().message, fetched.error().where);
  const std::lock_guard lock(mutex_);
  if (is_failing_ == !fetched) return;
  is_failing_ = !fetched;
  if (fetched) spdlog::info("the keys of the issuer {} are fetched again", issuer);
  Json change = {{"issuer", issuer}, {"state", fetched ? "fetched" : "failing"}, {"keys", keys}, {"time", to_rfc3339(clock_.now())}};
  if (!fetched) change["reason"] = fetched.error().message;
  if (changes_.size() < kChangesMax) changes_.push_back(std::move(change));
}

Status EndpointAccess::tell_changes(const std::function<Status(const Json& change)>& tell) {
  for (;;) {
    Json change;
    {
      const std::lock_guard lock(mutex_);
      if (changes_.empty()) return {};
      change = changes_.front();
    }
    TRY(tell(change));
    const std::lock_guard lock(mutex_);
    changes_.pop_front();
  }
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
  options.models = options_.models;
  options.server.allow_tls_1_2 = options_.allow_tls_1_2;
  options.prices = options_.prices;
  options.server.client_certificates = options_.client_certificates;
  if (options_.client_certificates != crypto::ClientCertificates::none) options.server.client_roots_pem = to_text(TRY(read_file(options_.client_ca_file, kFileBytesMax)));
  return {};
}

void EndpointAccess::refresh() {
  if (!options_.oidc || options_.oidc->key_set_file.empty()) return;
  const auto keys = read_file(options_.oidc->key_set_file, kFileBytesMax);
  const auto replaced = keys ? tokens_->replace_keys(text_of(*keys)) : Status(fail(keys.error()));
  if (!replaced) spdlog::error("the issuer's keys can't be read again, those before hold: {} ({})", replaced.error().message, replaced.error().where);
}

Status record_refusals(Session& session, const std::string& environment, gateway::RefusalLog& refusals) {
  auto counts = refusals.take();
  if (counts.empty()) return {};
  auto recorded = record_counts(session, environment, counts);
  if (!recorded) {
    refusals.put_back(std::move(counts));
    return recorded;
  }
  for (const auto& one : counts) spdlog::warn("refused {} times: {} from {}", one.count, one.reason, one.source);
  return {};
}

Status record_issuer_changes(Session& session, const std::string& environment, EndpointAccess& access) {
  return access.tell_changes([&](Json change) -> Status {
    change["environment"] = environment;
    TRY(session.record_event("issuer", change));
    return {};
  });
}

}  // namespace redoubt::cli
