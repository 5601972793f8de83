// SPDX-License-Identifier: Apache-2.0
//
// The HTTPS endpoint: OpenAI's and SageMaker's protocols in front of engine workers, behind API keys and limits
// (docs/endpoint.md). No route answers without a key that has the scope which the route table names, but for /ping: load
// balancers have no keys, so it says "yes" or "no" to anybody, and nothing more.
#pragma once

#include <memory>

#include "gateway/api_key.h"
#include "gateway/answer_guard.h"
#include "gateway/authentication.h"
#include "gateway/budget.h"
#include "gateway/capture.h"
#include "gateway/limits.h"
#include "gateway/metrics.h"
#include "gateway/route.h"
#include "gateway/router.h"
#include "gateway/signed_request.h"
#include "http/server.h"
#include "openai/request.h"
#include "telemetry/request_record.h"

namespace redoubt::gateway {

struct GatewayOptions {
  http::ServerOptions server;  // its `headers` get the security headers added
  openai::RequestLimits limits = {.tools = {.tools_max = 64}};
  LockoutOptions lockout;
  SourceLimitOptions open_routes;
  SigningRules signing;
  std::vector<CertificateRule> certificates;  // of clients, where `server` asks for them
  int requests_per_minute = 600;              // of who has no number of its own
  std::map<std::string, UseLimits> tenants, models;
  Prices prices;
  double captures_share = 1;  // of answered requests: how many are captured, where there is a capture
  double traces_share = 1;  // of requests that bring no traceparent: how many are sampled
};

// All outlive the gateway, and but for the router itself all outlive the router's pools, whose last requests still report to
// them.
struct GatewayDeps {
  ApiKeys& keys;
  Router& router;
  GatewayMetrics& metrics;
  const Clock& clock;
  CaptureSink* capture = nullptr;  // null: nothing is captured
  // Hears of each refused key (source, why), for the ledger or a log; must not block. May be empty.
  std::function<void(const std::string& source, const std::string& why)> on_refused = {};
  const TokenIssuer* tokens = nullptr;  // null: tokens of an issuer are not taken
  BudgetBook* budgets = nullptr;        // what was used; null: counted from this gateway's start
  std::shared_ptr<const guards::Guards> guards = {};  // null: nothing is looked for
  telemetry::Observation::Sinks sinks = {};           // hear of each answered request
  const Clock* intervals = nullptr;  // what lasts is measured by it, so that a clock that is set moves no limit; null: the machine's monotonic one
};

class Gateway {
 public:
  static Result<std::unique_ptr<Gateway>> create(GatewayOptions options, GatewayDeps deps);
  ~Gateway();
  // Where the options say, or, with `before`, where that one listens until it is drained (http::Server::succeed).
  Status start(const Gateway* before = nullptr);
  std::uint16_t port() const;
  Status replace_certificate(const std::string& certificate_pem, const Secret& private_key_pem);
  // See http::Server::drain.
  bool drain(std::chrono::milliseconds time_max);
  // Every route there is, with the scope that it needs.
  static std::vector<RouteInfo> route_table();

 private:
  class Endpoint;
  Gateway(http::ServerOptions options, std::unique_ptr<Endpoint> endpoint, GatewayMetrics& metrics);
  http::ServerOptions options_;
  GatewayMetrics& metrics_;
  std::unique_ptr<Endpoint> endpoint_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace redoubt::gateway
