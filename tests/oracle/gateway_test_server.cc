// SPDX-License-Identifier: Apache-2.0
//
// A gateway in front of a scripted worker (see gateway/testing_worker.h), for clients in other languages to judge. It takes
// a folder, writes ca.pem, key.txt, aws.txt and a client's certificate there, takes tokens of the key set jwks.json if one is there, prints its port, and serves until its stdin ends.
#include <cstdio>
#include <filesystem>

#include "gateway/gateway.h"
#include "gateway/testing_worker.h"
#include "http/testing_client.h"

using namespace redoubt;
using namespace redoubt::gateway;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  SystemClock clock;
  auto certificate = http::testing::make_test_certificate();
  auto keys = ApiKeys::open({[] { return std::string(); }, [](const std::string&) { return Status(); }}, clock).value();
  ApiKeyInfo info;
  info.name = "oracle";
  info.scopes.insert(Scope::metrics);
  info.scopes.insert(Scope::health);
  info.requests_per_minute = 1'000'000;
  auto created = keys->create(info).value();
  if (!write_file(folder / "ca.pem", certificate.ca_pem)) return 1;
  if (!write_file(folder / "key.txt", created.second.reveal(SecretAccess::for_user()))) return 1;
  info.is_aws = true;
  const auto pair = keys->create(info).value();
  if (!write_file(folder / "aws.txt", access_key_id_of(pair.first) + " " + to_text(pair.second.reveal(SecretAccess::for_user())))) return 1;
  GatewayMetrics metrics(clock);
  Router router;
  auto pool = WorkerPool::create(testing::scripted_workers(std::make_shared<testing::WorkerLog>()));
  if (!pool->wait_ready(std::chrono::seconds(20))) return 1;
  if (!router.activate({"bot", "1", clock.now(), std::move(pool)})) return 1;
  GatewayOptions options;
  options.server.certificate_pem = certificate.certificate_pem;
  options.server.private_key_pem = certificate.private_key_pem;
  options.lockout.failures_max = 1'000'000'000;  // wrong keys are measured here
  options.signing.hosts = {"localhost"};
  const auto clients = crypto::make_ca({.common_name = "Clients", .not_before = clock.now() - std::chrono::minutes(5), .days = 2}).value();
  for (const char* name : {"known", "unknown"}) {
    const auto client = crypto::issue_leaf(clients, {.use = crypto::LeafUse::client, .common_name = name, .not_before = clock.now() - std::chrono::minutes(5), .days = 1}).value();
    const auto pem = client.certificate + to_text(client.key.to_pem().reveal(SecretAccess::for_user()));
    if (!write_file(folder / (std::string(name) + ".pem"), pem)) return 1;
  }
  options.server.client_certificates = crypto::ClientCertificates::optional;
  options.server.client_roots_pem = clients.certificate;
  CertificateRule rule;
  rule.name = "known";
  rule.caller.id = "certificate known";
  rule.caller.scopes = {Scope::models};
  options.certificates = {rule};
  std::unique_ptr<TokenIssuer> tokens;
  if (const auto set = read_file(folder / "jwks.json", 1 << 20)) {
    TokenRules rules;
    rules.issuer = "https://issuer.example";
    rules.audience = "redoubt";
    tokens = TokenIssuer::create(rules, text_of(*set), clock).value();
  }
  auto gateway = Gateway::create(std::move(options), {*keys, router, metrics, clock, nullptr, {}, tokens.get()}).value();
  if (!gateway->start()) return 1;
  std::printf("%d\n", gateway->port());
  std::fflush(stdout);
  while (std::getchar() != EOF) continue;
  return gateway->drain(std::chrono::seconds(5)) ? 0 : 1;
}
