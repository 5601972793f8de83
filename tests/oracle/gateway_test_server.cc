// SPDX-License-Identifier: Apache-2.0
//
// A gateway in front of a scripted worker (see gateway/testing_worker.h), for clients in other languages to judge. It takes
// a folder, writes ca.pem, server.pem, key.txt, aws.txt and clients' certificates there, takes tokens of the key set jwks.json if one is
// there, prints its port, and serves until its stdin ends. After the folder come settings: `connections=N` at once and of one address,
// `clients=N` that a key may have at once, `certificates=required` or `none`, `send_ms=N` and `head_ms=N` for a client to take
// an answer and to send a head, `capture=on` (sealed in memory, then dropped), `keys_age_ms=N`, `keys_retry_ms=N` and `keys_asked_ms=N` for
// an issuer's keys. A file settings.json there holds `guards` and `telemetry` as the pipeline file's `deploy` has them, and `oidc` as its
// `access`; how the last fetch of that issuer's keys went is written to issuer.txt.
// Each line on stdin is done and answered with "done": "certificate" reloads it, "release" switches to new workers, "drain" starts
// another gateway where this one listens and drains it.
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>

#include "base/monotonic_clock.h"
#include "crypto/aes_gcm.h"
#include "crypto/random.h"
#include "gateway/access.h"
#include "gateway/gateway.h"
#include "gateway/testing_worker.h"
#include "http/testing_client.h"
#include "telemetry/options.h"

using namespace redoubt;
using namespace redoubt::gateway;

namespace {

std::map<std::string, std::string> settings_of(int argc, char** argv) {
  std::map<std::string, std::string> settings;
  for (int i = 2; i < argc; ++i) {
    const std::string text = argv[i];
    const auto equals = text.find('=');
    if (equals != text.npos) settings[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return settings;
}

Status seal_and_drop(ByteView lines) {
  static const auto key = crypto::random_secret(crypto::kAesGcmKeyBytes);
  (void)crypto::aes_gcm_seal(key, crypto::random_bytes(crypto::kAesGcmNonceBytes), lines, {});
  return {};
}

std::chrono::milliseconds ms_of(const std::map<std::string, std::string>& settings, const char* name, std::chrono::milliseconds otherwise) {
  const auto found = settings.find(name);
  return found == settings.end() ? otherwise : std::chrono::milliseconds(std::stoi(found->second));
}

// As the endpoint's daemon has it, at another pace.
struct Issuer {
  std::unique_ptr<TokenIssuer> tokens;
  std::unique_ptr<IssuerKeys> keys;
};
Result<Issuer> issuer_of(const std::filesystem::path& folder, const std::map<std::string, std::string>& settings, const Clock& clock, GatewayMetrics& metrics) {
  const auto text = read_file(folder / "settings.json", 1 << 20);
  if (!text) return Issuer{};
  const Json json = TRY(parse_json(text_of(*text), "settings.json"));
  if (!json.contains("oidc")) return Issuer{};
  const auto access = TRY(read_access({{"oidc", json["oidc"]}}));
  const auto& oidc = *access.oidc;
  KeyTiming timing;
  timing.age = timing.age_min = timing.age_max = ms_of(settings, "keys_age_ms", timing.age);
  timing.retry_min = timing.retry_max = ms_of(settings, "keys_retry_ms", timing.retry_min);
  timing.asked_min = ms_of(settings, "keys_asked_ms", timing.asked_min);
  Issuer issuer;
  issuer.tokens = TRY(TokenIssuer::create(oidc.rules, clock));
  const auto heard = [&metrics, &clock, file = folder / "issuer.txt"](const Status& fetched, std::size_t keys) {
    metrics.add_key_fetch(fetched.has_value(), keys, clock.now());
    const auto told = fetched ? std::string("fetched") : fetched.error().message + " (" + fetched.error().where + ")";
    (void)write_file(file, told);
  };
  issuer.keys = std::make_unique<IssuerKeys>(oidc.source, *issuer.tokens, fetch_over_https(oidc.source.ca_file), heard, timing);
  (void)issuer.keys->wait_first(std::chrono::seconds(5));
  return issuer;
}

Status configure(const std::filesystem::path& folder, GatewayDeps& deps) {
  const auto text = read_file(folder / "settings.json", 1 << 20);
  if (!text) return {};
  const Json settings = TRY(parse_json(text_of(*text), "settings.json"));
  if (settings.contains("guards")) {
    const auto wanted = TRY(guards::read_guards(settings["guards"]));
    deps.guards = TRY(guards::Guards::create(wanted));
  }
  auto told = TRY(telemetry::read_telemetry(json_or(settings, "telemetry", Json::object())));
  const auto lost = [&metrics = deps.metrics](const char* what) { return [&metrics, what](std::uint64_t count) { metrics.add_telemetry_lost(what, count); }; };
  if (told.access_log) {
    told.access_log->file = folder / told.access_log->file;
    told.access_log->on_lost = lost("access_log");
    deps.sinks.push_back(TRY(telemetry::AccessLog::create(std::move(*told.access_log))));
  }
  if (told.traces) {
    told.traces->on_lost = lost("traces");
    deps.sinks.push_back(TRY(telemetry::TraceExporter::create(std::move(*told.traces))));
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  auto settings = settings_of(argc, argv);
  const std::filesystem::path folder = argv[1];
  SystemClock clock;
  auto certificate = http::testing::make_test_certificate();
  auto keys = ApiKeys::open({[] { return std::string(); }, [](const std::string&) { return Status(); }}, clock).value();
  ApiKeyInfo info;
  info.name = "oracle";
  info.scopes.insert(Scope::metrics);
  info.scopes.insert(Scope::health);
  info.requests_per_minute = 100'000'000;
  if (const auto& clients = settings["clients"]; !clients.empty()) info.concurrent_requests = std::stoi(clients);
  auto created = keys->create(info).value();
  if (!write_file(folder / "ca.pem", certificate.ca_pem)) return 1;
  if (!write_file(folder / "key.txt", created.second.reveal(SecretAccess::for_user()))) return 1;
  info.is_aws = true;
  const auto pair = keys->create(info).value();
  if (!write_file(folder / "aws.txt", access_key_id_of(pair.first) + " " + to_text(pair.second.reveal(SecretAccess::for_user())))) return 1;
  GatewayMetrics metrics(monotonic_clock());
  const auto reactor = http::Reactor::create().value();
  Router router;
  auto pool = WorkerPool::create(reactor, testing::scripted_workers(std::make_shared<testing::WorkerLog>()));
  if (!pool->wait_ready(std::chrono::seconds(20))) return 1;
  if (!router.activate({"bot", "1", clock.now(), std::move(pool)})) return 1;
  GatewayOptions options;
  options.server.reactor = reactor;
  options.server.certificate_pem = certificate.certificate_pem;
  options.server.private_key_pem = certificate.private_key_pem;
  options.lockout.failures_max = 1'000'000'000;  // wrong keys are measured here
  options.signing.hosts = {"localhost"};
  if (!write_file(folder / "server.pem", certificate.certificate_pem + to_text(certificate.private_key_pem.reveal(SecretAccess::for_user())))) return 1;
  const auto clients = crypto::make_ca({.common_name = "Clients", .not_before = clock.now() - std::chrono::minutes(5), .days = 2}).value();
  if (!write_file(folder / "clients_ca.pem", clients.certificate)) return 1;
  for (const char* name : {"known", "unknown"}) {
    const auto client = crypto::issue_leaf(clients, {.use = crypto::LeafUse::client, .common_name = name, .not_before = clock.now() - std::chrono::minutes(5), .days = 1}).value();
    const auto pem = client.certificate + to_text(client.key.to_pem().reveal(SecretAccess::for_user()));
    if (!write_file(folder / (std::string(name) + ".pem"), pem)) return 1;
  }
  const auto& asked = settings["certificates"];
  options.server.client_certificates = asked == "none"       ? crypto::ClientCertificates::none
                                       : asked == "required" ? crypto::ClientCertificates::required
                                                             : crypto::ClientCertificates::optional;
  options.server.client_roots_pem = clients.certificate;
  if (const auto& connections = settings["connections"]; !connections.empty())
    options.server.connections_max = options.server.connections_per_source_max = std::stoul(connections);
  CertificateRule rule;
  rule.name = "known";
  rule.caller.id = "certificate known";
  rule.caller.scopes = {Scope::models};
  options.certificates = {rule};
  if (const auto& ms = settings["send_ms"]; !ms.empty()) options.server.send_ms_max = std::stoi(ms);
  if (const auto& ms = settings["head_ms"]; !ms.empty()) options.server.head_ms_max = std::stoi(ms);
  auto issuer = issuer_of(folder, settings, clock, metrics);
  if (!issuer) {
    std::fprintf(stderr, "%s\n", issuer.error().message.c_str());
    return 1;
  }
  auto& tokens = issuer->tokens;
  if (const auto set = read_file(folder / "jwks.json", 1 << 20)) {
    TokenRules rules;
    rules.issuer = "https://issuer.example";
    rules.audience = "redoubt";
    tokens = TokenIssuer::create(rules, text_of(*set), clock).value();
  }
  const auto capture = BatchedCapture::create(seal_and_drop, {.gather_ms = 1'000, .batch_ms = 1'000});
  const auto make_gateway = [&](const Gateway* before) -> std::unique_ptr<Gateway> {
    GatewayDeps deps{*keys, router, metrics, clock, settings["capture"] == "on" ? capture.get() : nullptr, {}, tokens.get()};
    if (auto done = configure(folder, deps); !done) {
      std::fprintf(stderr, "%s\n", done.error().message.c_str());
      return nullptr;
    }
    auto made = Gateway::create(options, std::move(deps)).value();
    return made->start(before) ? std::move(made) : nullptr;
  };
  auto gateway = make_gateway(nullptr);
  if (gateway == nullptr) return 1;
  std::printf("%d\n", gateway->port());
  std::fflush(stdout);
  int version = 1;
  std::string line;
  while (std::getline(std::cin, line)) {
    bool is_done = line.empty();
    if (line == "certificate") is_done = gateway->replace_certificate(certificate.certificate_pem, certificate.private_key_pem).has_value();
    if (line == "release") {
      auto fresh = WorkerPool::create(reactor, testing::scripted_workers(std::make_shared<testing::WorkerLog>()));
      is_done = fresh->wait_ready(std::chrono::seconds(20)) && router.activate({"bot", std::to_string(++version), clock.now(), std::move(fresh)});
    }
    if (line == "drain") {
      auto next = make_gateway(gateway.get());
      is_done = gateway->drain(std::chrono::seconds(30)) && next != nullptr;
      gateway = std::move(next);
    }
    std::printf("%s\n", is_done ? "done" : "failed");
    std::fflush(stdout);
    if (gateway == nullptr) return 1;
  }
  return gateway->drain(std::chrono::seconds(5)) ? 0 : 1;
}
