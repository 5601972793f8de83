// SPDX-License-Identifier: Apache-2.0
#include "gateway/gateway.h"

#include <algorithm>
#include <array>

#include "base/log.h"
#include "base/monotonic_clock.h"
#include "crypto/identifier.h"
#include "crypto/x509.h"
#include "gateway/authentication.h"
#include "gateway/caller.h"
#include "gateway/completion.h"
#include "gateway/event_stream.h"
#include "gateway/open_api.h"
#include "gateway/prompt_guard.h"
#include "gateway/reply.h"
#include "gateway/request_run.h"
#include "gateway/side_thread.h"
#include "http/source.h"
#include "openai/control_tokens.h"
#include "openai/embeddings.h"

namespace redoubt::gateway {
using namespace openai;

using http::Headers;
using http::Request;
using http::Responder;
using http::Response;
using Count = GatewayMetrics::Count;

namespace {

constexpr int kAnswerMsMax = 900'000;
constexpr std::size_t kLargeBody = 8 << 10;  // that is looked at on a thread of its own
constexpr std::size_t kLongLooksMax = 256;  // that wait for it
constexpr std::size_t kHeadersOfAnswer = 10;
constexpr std::size_t kInferenceIdMax = 64;
constexpr int kKeysRetryS = 2;                  // a fetch of an issuer's keys is done by then, or will not be soon

Response unauthorized() {
  static const Response kAnswer = refusal(401, "no valid API key: send 'Authorization: Bearer <key>'", "invalid_request_error", "invalid_api_key",
                                          {{"WWW-Authenticate", "Bearer"}});
  return kAnswer;
}

// 53 bits, so that a client that reads numbers as doubles can send it back.
std::int64_t random_seed() {
  std::array<std::uint8_t, 7> drawn;
  crypto::draw_identifier(drawn);
  std::int64_t seed = 0;
  for (auto byte : drawn) seed = (seed << 8) | byte;
  return seed & ((std::int64_t{1} << 53) - 1);
}

// Headers of InvokeEndpoint that choose what would answer, or ask for more; none of them may be passed over.
const std::string* unsupported_header(const Request& request) {
  constexpr std::string_view kOfSageMaker = "x-amzn-sagemaker-";
  constexpr std::string_view kNames[] = {"target-model", "target-variant", "target-container-hostname", "inference-component", "enable-explanations", "session-id"};
  for (const auto& header : request.headers) {
    if (!header.name.starts_with(kOfSageMaker)) continue;
    if (std::ranges::find(kNames, std::string_view(header.name).substr(kOfSageMaker.size())) != std::end(kNames)) return &header.name;
  }
  return nullptr;
}

bool is_json_type(std::string_view type) {
  constexpr std::string_view kJsonType = "application/json";
  const auto rest = type.substr(std::min(kJsonType.size(), type.size()));
  return http::equal_ignoring_case(type.substr(0, kJsonType.size()), kJsonType) && (rest.empty() || rest.find_first_of("; \t") == 0);
}

// Whether it may take milliseconds to look at: it is large, or a schema is to be compiled. A member's name may be written with escapes.
bool takes_long(std::string_view body) {
  if (body.size() >= kLargeBody) return true;
  return std::ranges::any_of(std::array<std::string_view, 3>{"response_format", "tool_choice", "\\u"}, [&](auto part) { return body.find(part) != body.npos; });
}

// SageMaker's InferenceId: what is captured of this request bears it.
std::string_view inference_id_of(const Request& request) {
  const auto* given = request.headers.find("x-amzn-sagemaker-inference-id");
  return given == nullptr ? std::string_view() : std::string_view(*given);
}

// A token has a byte at least; a template adds its own. What is more than this the engine's count finds before it answers.
std::int64_t prompt_tokens_at_most(const GenerateRequest& request) {
  constexpr std::size_t kTemplate = 512, kPerMessage = 16;
  if (!request.texts.empty()) {
    constexpr std::size_t kAdded = 4;  // tokens that a tokenizer puts around a text
    std::size_t tokens = 0;
    for (const auto& text : request.texts) tokens += text.tokens.empty() ? text.text.size() + kAdded : text.tokens.size();
    return static_cast<std::int64_t>(tokens);
  }
  std::size_t bytes = request.prompt ? request.prompt->size() : kTemplate + request.tools.size();
  for (const auto& message : request.messages) bytes += kPerMessage + (message.json.empty() ? message.content.size() : message.json.size());
  return static_cast<std::int64_t>(bytes) + 1;
}

// A mean of hidden states has as many numbers as they have: fewer would be another embedding.
std::optional<Response> check_embedding(const CompletionRequest& request, int length) {
  if (request.generate.texts.empty()) return std::nullopt;
  if (length == 0) return refusal(400, "the engine that serves this model makes no embeddings", "invalid_request_error", "unsupported", {}, "model");
  if (!request.dimensions || *request.dimensions == length) return std::nullopt;
  return refusal(400, "this model's embeddings have " + std::to_string(length) + " numbers, and no others", "invalid_request_error", "unsupported", {}, "dimensions");
}

// An answer that is held back until it was looked at has no room for what its tokens could have been.
std::optional<Response> refuse_logprobs(const GenerateRequest& request, const std::shared_ptr<const guards::Guards>& guards) {
  if (guards == nullptr || !guards->holds_answers() || !request.top_logprobs) return std::nullopt;
  return refusal(400, "logprobs are not told while answers are filtered", "invalid_request_error", "unsupported", {}, "logprobs");
}

// What stands in a part of a content, and what only its parts together hold.
guards::Checked check_request(const guards::Guards& guards, const std::string& body, const GenerateRequest& request) {
  auto checked = guards.check_request(body);
  if (checked.refused || !guards.looks_at_requests() || std::none_of(request.messages.begin(), request.messages.end(), [](const auto& message) { return message.parts > 1; })) return checked;
  auto joined = guards.check_request(with_joined_parts(checked.changed ? checked.json : body));
  const auto is_known = [&](const guards::Hit& hit) { return std::any_of(checked.hits.begin(), checked.hits.end(), [&](const auto& one) { return one.kind == hit.kind; }); };
  std::erase_if(joined.hits, [&](const auto& hit) { return hit.action == guards::Action::log && is_known(hit); });
  checked.hits.insert(checked.hits.end(), joined.hits.begin(), joined.hits.end());
  checked.refused = joined.refused;
  if (!joined.changed) return checked;
  checked.json = std::move(joined.json);
  checked.changed = true;
  return checked;
}

// The first of the system's messages is the one that a marker is hidden in.
void add_marker(GenerateRequest& request, const std::shared_ptr<const guards::Guards>& guards) {
  if (guards == nullptr || guards->marker().empty()) return;
  const auto system = std::find_if(request.messages.begin(), request.messages.end(), [](const auto& message) { return message.role == "system" && message.json.empty(); });
  if (system != request.messages.end()) system->content += "\n(" + guards->marker() + ")";
}

// Of every so many requests one, whatever thread they come on.
bool is_sampled(double share) {
  if (share >= 1 || share <= 0) return share >= 1;
  std::array<std::uint8_t, 4> bytes;
  crypto::draw_identifier(bytes);
  const auto drawn = std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
  return drawn < share * 4294967296.0;
}

void tell_life(GatewayMetrics& metrics, const std::string& certificate_pem) {
  if (const auto info = crypto::read_certificate(certificate_pem)) metrics.set_certificate({info->not_before, info->not_after});
}

std::int64_t seconds_of(TimePoint time) { return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count(); }

}  // namespace

class Gateway::Endpoint final : public http::Handler {
 public:
  Endpoint(const GatewayOptions& options, GatewayDeps deps)
      : limits_(options.limits),
        deps_(std::move(deps)),
        intervals_(deps_.intervals ? *deps_.intervals : monotonic_clock()),
        authentication_(deps_.keys, deps_.clock, options.signing, deps_.tokens, options.certificates),
        budgets_(deps_.clock, options.prices, options.tenants, deps_.budgets, options.models),
        lockout_(intervals_, options.lockout),
        key_limits_(intervals_),
        source_limits_(intervals_, options.open_routes),
        requests_per_minute_(options.requests_per_minute),
        captures_share_(options.captures_share),
        traces_share_(options.traces_share),
        prompt_guard_(deps_.guards),
        side_thread_(kLongLooksMax) {}

  std::optional<Response> on_head(Request& request) override;
  void on_request(Request request, Responder responder) override;
  Response on_refusal(int status, std::string_view why, Refused what) override;

  using Action = void (Endpoint::*)(const Request&, const Caller&, const Responder&);
  struct Route : RouteInfo {
    Action action;
    Dialect dialect = Dialect::openai;
  };
  static const std::vector<Route>& table();

 private:
  static const Route* find(const Request& request, bool& path_known);
  enum class Moment { before_body, with_body };
  tl::expected<ApiKeyInfo, Response> authorize(const Request& request, const Route* route, Moment moment);
  Response not_authorized(const Request& request, const std::string& why);
  Response undecided(const Request& request, const std::string& why);
  Response forbidden(const Request& request, const Route& route, const ApiKeyInfo& key, Scope scope);
  Response unknown(const Request& request, bool path_known);

  void chat(const Request& request, const Caller& key, const Responder& responder);
  void completion(const Request& request, const Caller& key, const Responder& responder);
  void embeddings(const Request& request, const Caller& key, const Responder& responder);
  void invocation(const Request& request, const Caller& key, const Responder& responder);
  void endpoint_invocation(const Request& request, const Caller& key, const Responder& responder);
  void endpoint_stream(const Request& request, const Caller& key, const Responder& responder);
  void models(const Request& request, const Caller& key, const Responder& responder);
  void model(const Request& request, const Caller& key, const Responder& responder);
  void ping(const Request& request, const Caller& key, const Responder& responder);
  void live(const Request& request, const Caller& key, const Responder& responder);
  void health(const Request& request, const Caller& key, const Responder& responder);
  void metrics(const Request& request, const Caller& key, const Responder& responder);
  void document(const Request& request, const Caller& key, const Responder& responder);

  using Parse = Result<CompletionRequest> (*)(const std::string&, const RequestLimits&);
  void generate(Parse parse, const Request& request, const Caller& key, const Responder& responder, Framing framing = Framing::server_sent_events);
  Headers standing_of(const ApiKeyInfo& key, const std::string& model = "");
  tl::expected<Router::Choice, Response> choose(CompletionRequest& parsed, const RequestLimits& limits, const ApiKeyInfo& key);
  std::optional<Response> check_model(CompletionRequest& parsed, const Release& release, const ApiKeyInfo& key);
  void start(CompletionRequest&& parsed, const Router::Choice& choice, Completion::Context&& context, NoteHits note, const Responder& responder);
  void look_and_ask(const Router::Choice& choice, GenerateRequest&& request, const std::shared_ptr<RequestRun>& run, const std::shared_ptr<Completion>& completion, NoteHits note);
  std::shared_ptr<telemetry::Observation> observe(const Request& request, const Route* route, const ApiKeyInfo& key);
  Response told(const Request& request, const Route* route, Response response);
  std::optional<Response> guard_request(std::string& body, Result<CompletionRequest>& parsed, Parse parse, const RequestLimits& limits, const ApiKeyInfo& key);
  NoteHits notes_of(const ApiKeyInfo& key) const;
  void reply(const Request& request, const Caller& key, const Responder& responder, Response response);
  static Json model_json(const Release& release);

  const RequestLimits limits_;
  const GatewayDeps deps_;
  const Clock& intervals_;
  const Authentication authentication_;
  Budgets budgets_;
  Lockout lockout_;
  KeyLimits key_limits_;
  SourceLimits source_limits_;
  const int requests_per_minute_;
  const double captures_share_, traces_share_;
  PromptGuard prompt_guard_;
  SideThread side_thread_;  // its thread uses what stands above
};

const std::vector<Gateway::Endpoint::Route>& Gateway::Endpoint::table() {
  static const std::vector<Route> kTable = {
      {{"POST", "/v1/chat/completions", Scope::invoke, "Answers a chat", "ChatRequest", "Chat"}, &Endpoint::chat},
      {{"POST", "/v1/completions", Scope::invoke, "Goes on with a text", "CompletionRequest", "Completion"}, &Endpoint::completion},
      {{"POST", "/v1/embeddings", Scope::invoke, "Reads texts into vectors", "EmbeddingRequest", "Embeddings"}, &Endpoint::embeddings},
      {{"POST", "/invocations", Scope::invoke, "Either, as a SageMaker container takes it", "InvocationRequest", "Invocation"}, &Endpoint::invocation},
      {{"POST", "/endpoints/{name}/invocations", Scope::invoke, "SageMaker's InvokeEndpoint", "EndpointRequest", "Invocation"}, &Endpoint::endpoint_invocation, Dialect::sagemaker},
      {{"POST", "/endpoints/{name}/invocations-response-stream", Scope::invoke, "SageMaker's InvokeEndpointWithResponseStream", "StreamedEndpointRequest", kEventStreamType},
       &Endpoint::endpoint_stream,
       Dialect::sagemaker},
      {{"GET", "/v1/models", Scope::models, "What is deployed", "", "Models"}, &Endpoint::models},
      {{"GET", "/v1/models/{model}", Scope::models, "One of it", "", "Model"}, &Endpoint::model},
      {{"GET", "/openapi.json", Scope::models, "This document", "", "Document"}, &Endpoint::document},
      {{"GET", "/ping", std::nullopt, "Whether a worker is ready"}, &Endpoint::ping},
      {{"GET", "/live", std::nullopt, "Whether the process answers, whatever its workers do"}, &Endpoint::live},
      {{"GET", "/health", Scope::health, "How many workers are, and their requests", "", "Health"}, &Endpoint::health},
      {{"GET", "/metrics", Scope::metrics, "Prometheus text", "", "text/plain"}, &Endpoint::metrics},
  };
  return kTable;
}

std::vector<RouteInfo> Gateway::route_table() {
  std::vector<RouteInfo> all;
  for (const auto& route : Endpoint::table()) all.push_back(route);
  return all;
}

const Gateway::Endpoint::Route* Gateway::Endpoint::find(const Request& request, bool& path_known) {
  path_known = false;
  for (const auto& route : table()) {
    if (!matches(route.pattern, request.path)) continue;
    path_known = true;
    if (request.method == route.method || (request.method == "HEAD" && route.method == "GET")) return &route;  // the server sends its head alone
  }
  return nullptr;
}

Response Gateway::Endpoint::not_authorized(const Request& request, const std::string& why) {
  deps_.metrics.add(Count::unauthorized);
  deps_.metrics.add_response("refused", 401);
  if (deps_.on_refused) deps_.on_refused(request.peer, why);
  return unauthorized();
}

// Nobody can tell as yet whether the token is good: it is no attempt, and no failure of the model's.
Response Gateway::Endpoint::undecided(const Request& request, const std::string& why) {
  deps_.metrics.add_response("refused", 503);
  if (deps_.on_refused) deps_.on_refused(request.peer, why);
  return try_later(503, "the issuer's keys are not here yet: try again", "issuer_unavailable", kKeysRetryS);
}

Response Gateway::Endpoint::forbidden(const Request& request, const Route& route, const ApiKeyInfo& key, Scope scope) {
  deps_.metrics.add(Count::unauthorized);
  deps_.metrics.add_response(route.pattern, 403);
  if (deps_.on_refused) deps_.on_refused(request.peer, "key " + key.id + " lacks a scope");
  return refusal(403, std::string("the key lacks the scope '") + to_string(scope) + "'", "invalid_request_error", "insufficient_scope");
}

// Who asks, and whether they may. An unknown route needs a key too, so that nothing is to be learnt without one.
tl::expected<ApiKeyInfo, Response> Gateway::Endpoint::authorize(const Request& request, const Route* route, Moment moment) {
  auto key = moment == Moment::before_body ? authentication_.before_body(request) : authentication_.with_body(request);
  const auto source = http::source_of(request.peer);
  if (auto locked = lockout_.locked_s(source); locked > 0 && !(key && lockout_.knows(source, key->id))) {
    deps_.metrics.add(Count::unauthorized);
    deps_.metrics.add_response("refused", 429);
    if (deps_.on_refused) deps_.on_refused(request.peer, "locked out");
    return tl::unexpected<Response>(try_later(429, "too many wrong keys came from this address", "locked_out", locked));
  }
  if (!key && key.error().code == ErrorCode::unavailable) return tl::unexpected<Response>(undecided(request, key.error().message));
  if (!key) {
    // Who shows nothing guesses nothing.
    if (request.headers.find("authorization") != nullptr) lockout_.note_failure(source);
    return tl::unexpected<Response>(not_authorized(request, key.error().message));
  }
  if (key->requests_per_minute == 0) key->requests_per_minute = requests_per_minute_;
  // Before the body a signature may be yet unproven.
  if (moment == Moment::with_body || !is_signed(request)) lockout_.note_success(source, key->id);
  if (route && !key->scopes.contains(*route->scope)) return tl::unexpected<Response>(forbidden(request, *route, *key, *route->scope));
  return std::move(*key);
}

Response Gateway::Endpoint::unknown(const Request& request, bool path_known) {
  deps_.metrics.add(Count::client_errors);
  deps_.metrics.add_response("unknown", path_known ? 405 : 404);
  if (!path_known) return refusal(404, "there is no such path", "invalid_request_error", "not_found");
  std::string allowed;
  for (const auto& route : table())
    if (matches(route.pattern, request.path)) allowed += (allowed.empty() ? "" : ", ") + route.method + (route.method == "GET" ? ", HEAD" : "");
  return refusal(405, "this path does not take this method", "invalid_request_error", "method_not_allowed", {{"Allow", std::move(allowed)}});
}

// Before the body is read, so that nobody without a key makes us keep one.
std::optional<Response> Gateway::Endpoint::on_head(Request& request) {
  deps_.metrics.add(Count::requests);
  bool path_known = false;
  const auto* route = find(request, path_known);
  if (route && !route->scope) {
    const bool is_admitted = source_limits_.admit(http::source_of(request.peer));
    if (is_admitted && !request.has_body) return std::nullopt;
    const int status = is_admitted ? 413 : 429;
    deps_.metrics.add(is_admitted ? Count::client_errors : Count::throttled);
    deps_.metrics.add_response(route->pattern, status);
    return told(request, route, Response{status, is_admitted ? Headers{} : Headers{{"Retry-After", "1"}}, "", {}, 0, 0});
  }
  auto key = authorize(request, route, Moment::before_body);
  if (!key) return told(request, route, in_dialect(route ? route->dialect : Dialect::openai, std::move(key.error())));
  if (!route) return told(request, route, unknown(request, path_known));
  // On the account of somebody whose signature is not proven yet anybody could keep bodies.
  request.payer = is_signed(request) ? "source " + http::source_of(request.peer) : "payer " + key->payer();
  return std::nullopt;
}

void Gateway::Endpoint::on_request(Request request, Responder responder) {
  bool path_known = false;
  const auto* route = find(request, path_known);
  if (!route) return responder.send(told(request, route, unknown(request, path_known)));
  if (!route->scope) return (this->*route->action)(request, {{}, observe(request, route, {})}, responder);
  // on_head let it pass; a key that was revoked while the body came, and a signature that is not of this body, are stopped here.
  auto key = authorize(request, route, Moment::with_body);
  if (!key) return responder.send(told(request, route, in_dialect(route->dialect, std::move(key.error()))));
  auto seen = observe(request, route, *key);
  Caller caller{std::move(*key), std::move(seen)};
  // The document is made anew for whoever asks.
  if (!takes_long(request.body) && route->action != &Endpoint::document) return (this->*route->action)(request, caller, responder);
  auto held = std::make_shared<std::pair<Request, Caller>>(std::move(request), std::move(caller));
  const auto shed = [this, held, responder] { reply(held->first, held->second, responder, try_later(503, "too many requests wait to be looked at", "overloaded", 1)); };
  if (!side_thread_.put(held->second.payer(), [this, held, responder, action = route->action] { (this->*action)(held->first, held->second, responder); }, shed)) shed();
}

// What will be told of a request once it is answered. Its id goes into the answer.
std::shared_ptr<telemetry::Observation> Gateway::Endpoint::observe(const Request& request, const Route* route, const ApiKeyInfo& key) {
  telemetry::RequestRecord record;
  record.method = request.method;
  record.route = route ? std::string_view(route->pattern) : "unknown";
  record.key_id = key.id;
  record.tenant = key.tenant;
  record.begun = deps_.clock.now();
  const auto* header = request.headers.find("traceparent");
  const auto parent = header && request.headers.count("traceparent") == 1 ? telemetry::parse_traceparent(*header) : std::nullopt;
  record.trace = telemetry::new_span(parent, is_sampled(traces_share_));
  record.id = record.trace.span_id;
  if (parent) record.parent_span = parent->span_id;
  return std::make_shared<telemetry::Observation>(std::move(record), deps_.sinks, intervals_);
}

// An answer that is given at once, to nobody or to a request that goes no further.
Response Gateway::Endpoint::told(const Request& request, const Route* route, Response response) {
  if (deps_.sinks.empty()) {
    response.headers.add("X-Request-Id", telemetry::new_span_id());
    return response;
  }
  const auto seen = observe(request, route, {});
  response.headers.add("X-Request-Id", seen->record.id);
  seen->end(response.status);
  return response;
}

// An answer may outlive the gateway: it holds on to nothing of it.
NoteHits Gateway::Endpoint::notes_of(const ApiKeyInfo& key) const {
  return [&metrics = deps_.metrics, on_refused = deps_.on_refused, source = "key " + key.id](const std::vector<guards::Hit>& hits) {
    for (const auto& hit : hits) {
      const std::string direction = guards::to_string(hit.direction), action = guards::to_string(hit.action);
      metrics.add_guard_hit({direction, hit.group, hit.kind, action});
      if (on_refused) on_refused(source, "guard of " + direction + ": " + hit.kind + ", " + action);
    }
  };
}

// What a request holds that it may not. A redacted body takes the place of the one that came, wherever that would go.
std::optional<Response> Gateway::Endpoint::guard_request(std::string& body, Result<CompletionRequest>& parsed, Parse parse, const RequestLimits& limits, const ApiKeyInfo& key) {
  if (deps_.guards == nullptr) return std::nullopt;
  auto checked = check_request(*deps_.guards, body, parsed->generate);
  if (!checked.hits.empty()) notes_of(key)(checked.hits);
  if (!checked.refused && checked.changed) {
    body = std::move(checked.json);
    parsed = parse(body, limits);
  }
  if (checked.refused || !parsed) return refusal(400, "the request holds what this endpoint does not take", "invalid_request_error", "content_filter");
  const auto& texts = parsed->generate.texts;
  if (deps_.guards->looks_at_requests() && std::any_of(texts.begin(), texts.end(), [](const auto& text) { return !text.tokens.empty(); }))
    return refusal(400, "token ids are not taken while requests are filtered: send the text", "invalid_request_error", "unsupported", {}, "input");
  return refuse_logprobs(parsed->generate, deps_.guards);
}

Response Gateway::Endpoint::on_refusal(int status, std::string_view why, Refused what) {
  if (status == 503) {  // too much at once, whoever it came from
    deps_.metrics.add(Count::errors);
    deps_.metrics.add_response("refused", status);
    return told({}, nullptr, try_later(status, std::string(why), "overloaded", 1));
  }
  if (what == Refused::head) deps_.metrics.add(Count::requests);
  deps_.metrics.add(Count::client_errors);
  deps_.metrics.add_response("malformed", status);
  return told({}, nullptr, refusal(status, std::string(why), "invalid_request_error", "malformed_request", status == 405 ? Headers{{"Allow", "GET, POST"}} : Headers{}));
}

void Gateway::Endpoint::reply(const Request& request, const Caller& key, const Responder& responder, Response response) {
  bool path_known = false;
  const auto* route = find(request, path_known);
  deps_.metrics.add_response(route ? route->pattern : "unknown", response.status);
  if (response.status == 429)
    deps_.metrics.add(Count::throttled);
  else if (response.status >= 500)
    deps_.metrics.add(Count::errors);
  else if (response.status >= 400)
    deps_.metrics.add(Count::client_errors);
  response.headers.add("X-Request-Id", key.seen->record.id);
  key.seen->end(response.status);
  responder.send(in_dialect(route ? route->dialect : Dialect::openai, std::move(response)));
}

void Gateway::Endpoint::chat(const Request& request, const Caller& key, const Responder& responder) {
  generate(parse_chat_request, request, key, responder);
}
void Gateway::Endpoint::completion(const Request& request, const Caller& key, const Responder& responder) {
  generate(parse_completion_request, request, key, responder);
}
void Gateway::Endpoint::embeddings(const Request& request, const Caller& key, const Responder& responder) {
  generate(parse_embedding_request, request, key, responder);
}
void Gateway::Endpoint::invocation(const Request& request, const Caller& key, const Responder& responder) {
  generate(parse_invocation, request, key, responder);
}

void Gateway::Endpoint::endpoint_invocation(const Request& request, const Caller& key, const Responder& responder) {
  generate(parse_invocation, request, key, responder);
}
void Gateway::Endpoint::endpoint_stream(const Request& request, const Caller& key, const Responder& responder) {
  generate(parse_invocation, request, key, responder, Framing::aws_event_stream);
}

void Gateway::Endpoint::generate(Parse parse, const Request& request, const Caller& key, const Responder& responder, Framing framing) {
  deps_.metrics.add(Count::invocations);
  auto admission = key_limits_.admit(key);
  if (!admission) {
    auto refused = try_later(429, "the key's limit is reached", "rate_limit_exceeded", admission.error());
    for (const auto& header : standing_of(key)) refused.headers.add(header.name, header.value);
    return reply(request, key, responder, std::move(refused));
  }
  const auto* type = request.headers.find("content-type");
  if (!type || !is_json_type(*type))
    return reply(request, key, responder,
                 refusal(415, "the body must be application/json", "invalid_request_error", "unsupported_media_type"));
  if (const auto* header = unsupported_header(request))
    return reply(request, key, responder, refusal(400, "this endpoint does not take the header " + *header, "invalid_request_error", "unsupported"));
  const auto inference_id = inference_id_of(request);
  if (inference_id.size() > kInferenceIdMax) return reply(request, key, responder, refusal(400, "an inference id has at most 64 characters", "invalid_request_error", "invalid_argument"));
  bool path_known = false;
  const auto& route = *find(request, path_known);
  auto limits = limits_;
  limits.model_default = segment_of(route.pattern, request.path);
  if (const auto most = key.limits.answer_tokens_max; most > 0) limits.answer_tokens_max = static_cast<int>(std::min<std::int64_t>(limits.answer_tokens_max, most));
  auto parsed = parse(request.body, limits);
  if (parsed && framing == Framing::aws_event_stream && parsed->protocol == Protocol::inputs) parsed = fail(ErrorCode::unsupported, "'inputs' is not streamed: send messages or a prompt", "inputs");
  if (!parsed)
    return reply(request, key, responder,
                 json_response(400, error_body(parsed.error().message, "invalid_request_error", parsed.error().where,
                                               to_string(parsed.error().code))));
  CaptureSink* capture = is_sampled(captures_share_) ? deps_.capture : nullptr;
  std::string body = deps_.guards || capture ? request.body : std::string();
  if (auto refused = guard_request(body, parsed, parse, limits, key)) return reply(request, key, responder, std::move(*refused));
  if (parsed->model.empty()) parsed->model = limits.model_default;
  auto chosen = choose(*parsed, limits, key);
  if (!chosen) return reply(request, key, responder, std::move(chosen.error()));
  const auto& release = chosen->release;
  // What was computed of a key's prompts serves that key alone.
  parsed->generate.scope = key.id + "/" + parsed->cache_salt;
  // Drawn here, so that two requests without a seed differ and the answer can name what repeats it.
  if (!parsed->generate.seed && !parsed->generate.greedy) parsed->generate.seed = random_seed();
  const bool chat = parsed->protocol == Protocol::chat, reads = parsed->protocol == Protocol::embedding;
  AnswerFrame frame{parsed->protocol, (chat ? "chatcmpl-" : reads ? "embd-" : "cmpl-") + crypto::draw_identifier(12),
                    parsed->model.empty() ? release->name + "/" + release->version : parsed->model, seconds_of(deps_.clock.now()), parsed->generate.top_logprobs.has_value()};
  if (framing == Framing::aws_event_stream) parsed->stream = true;
  Completion::Context context{std::move(frame), route.pattern, false, std::nullopt, capture ? std::move(body) : std::string(), std::move(*admission),
                              deps_.metrics, deps_.clock, intervals_, capture};
  context.dialect = route.dialect;
  context.framing = framing;
  context.base64 = parsed->base64;
  context.inference_id = inference_id;
  context.prompt_tokens_max = key.limits.prompt_tokens_max;
  add_marker(parsed->generate, deps_.guards);
  if (deps_.guards && !reads && (deps_.guards->looks_at_answers() || deps_.guards->answer_characters_max() > 0))
    context.guard.emplace(deps_.guards, notes_of(key));
  context.seen = key.seen;
  context.seen->record.model = context.frame.model;
  context.seen->record.operation = chat ? "chat" : reads ? "embeddings" : "text_completion";
  const auto context_tokens = release->pool->known()->context_length * std::max<std::int64_t>(1, std::ssize(parsed->generate.texts));
  const auto& answers = parsed->generate.adapter.empty() ? release->name : parsed->generate.adapter;
  auto reserved = budgets_.reserve(key, {std::min<std::int64_t>(prompt_tokens_at_most(parsed->generate), context_tokens), parsed->generate.max_tokens}, answers);
  context.headers = standing_of(key, answers);
  if (!reserved) {
    auto refused = limit_reached(reserved.error());
    for (const auto& header : context.headers) refused.headers.add(header.name, header.value);
    return reply(request, key, responder, std::move(refused));
  }
  context.headers.add("X-Request-Id", key.seen->record.id);
  // The answer is cut where the budget ends.
  parsed->generate.max_tokens = static_cast<int>((*reserved)->answer_tokens());
  context.reservation = std::move(*reserved);
  parsed->generate.payer = key.payer();
  start(std::move(*parsed), *chosen, std::move(context), prompt_guard_.looks() ? notes_of(key) : NoteHits(), responder);
}

// Who answers: a candidate that does not take the request leaves it to the release that stands.
tl::expected<Router::Choice, Response> Gateway::Endpoint::choose(CompletionRequest& parsed, const RequestLimits& limits, const ApiKeyInfo& key) {
  auto choice = deps_.router.choose(parsed.model);
  if (!choice.release) return tl::unexpected(try_later(503, "no model is deployed", "no_model", 30));
  if (!limits.model_default.empty() && parsed.model != limits.model_default)
    return tl::unexpected(refusal(404, "this endpoint does not serve the model that the body names", "invalid_request_error", "model_not_found", {}, "model"));
  auto refused = check_model(parsed, *choice.release, key);
  if (refused && choice.fallback) {
    choice = {choice.fallback, nullptr, nullptr};
    refused = check_model(parsed, *choice.release, key);
  }
  if (refused) return tl::unexpected(std::move(*refused));
  return choice;
}

// How the limits stand, in OpenAI's names: of those that hold, the one with the least left.
Headers Gateway::Endpoint::standing_of(const ApiKeyInfo& key, const std::string& model) {
  const auto bucket = key_limits_.standing(key);
  Budgets::Standing requests{bucket.limit, bucket.remaining, bucket.reset_s};
  if (const auto counted = budgets_.requests_of_minute(key, model); counted && counted->remaining <= requests.remaining) requests = *counted;
  Headers headers;
  headers.reserve(kHeadersOfAnswer);
  headers.add("x-ratelimit-limit-requests", std::to_string(requests.limit));
  headers.add("x-ratelimit-remaining-requests", std::to_string(requests.remaining));
  headers.add("x-ratelimit-reset-requests", std::to_string(requests.reset_s) + "s");
  if (const auto tokens = budgets_.tokens_of_minute(key, model)) {
    headers.add("x-ratelimit-limit-tokens", std::to_string(tokens->limit));
    headers.add("x-ratelimit-remaining-tokens", std::to_string(tokens->remaining));
    headers.add("x-ratelimit-reset-tokens", std::to_string(tokens->reset_s) + "s");
  }
  return headers;
}

// Whether the model is there for this key, takes the request, and can't be spoken to with another's voice. Names the adapter.
std::optional<Response> Gateway::Endpoint::check_model(CompletionRequest& parsed, const Release& release, const ApiKeyInfo& key) {
  const auto known = release.pool->known();
  const bool is_release = release.answers_to(parsed.model);
  const bool exists = is_release || std::find(known->adapters.begin(), known->adapters.end(), parsed.model) != known->adapters.end();
  // A model that the key was not granted does not exist for it.
  const bool granted = key.may_use(is_release ? release.name : parsed.model);
  if (exists && !granted && deps_.on_refused) deps_.on_refused("key " + key.id, "a model that was not granted");
  if (!exists || !granted)
    return refusal(404, "the model does not exist", "invalid_request_error", "model_not_found", {}, "model");
  if (!is_release) parsed.generate.adapter = parsed.model;
  if (parsed.uses_tools && !known->knows_tools)
    return refusal(400, "the engine that serves this model does not take tools", "invalid_request_error", "unsupported", {}, "tools");
  if (auto refused = check_embedding(parsed, known->embedding_length)) return refused;
  if (auto field = field_with_control_token(parsed.generate, release.control_tokens))
    return refusal(400, *field + " holds a text that the model reads as a control token", "invalid_request_error", "control_token", {}, *field);
  return std::nullopt;
}

// Once the guards that the model reads for have nothing against it. It is read by the release that stands, whoever is tried beside it: what a
// candidate fails at must not open a way around the guards.
void Gateway::Endpoint::look_and_ask(const Router::Choice& choice, GenerateRequest&& request, const std::shared_ptr<RequestRun>& run, const std::shared_ptr<Completion>& completion,
                                     NoteHits note) {
  const auto ask = [run, completion, guards = deps_.guards](const std::shared_ptr<WorkerPool>& pool, GenerateRequest&& asked, const std::shared_ptr<const Release>& shadow) {
    if (shadow) copy_to(*shadow, asked, guards);
    const auto taken = pool ? run->ask(pool, std::move(asked), completion) : Status(fail(ErrorCode::unavailable, "the workers ended"));
    if (!taken) completion->refuse(taken.error(), pool ? std::clamp(pool->state().expected_wait_ms / 1000, 1, 60) : 1);
  };
  if (!prompt_guard_.looks()) return ask(choice.release->pool, std::move(request), choice.shadow);
  const auto& reader = choice.fallback ? choice.fallback : choice.release;
  // Held weakly: a pool's end must not wait for what waits in it.
  const auto pool = std::weak_ptr(choice.release->pool);
  const auto shadow = std::weak_ptr(choice.shadow);
  prompt_guard_.look(reader->pool, request, run, [ask, pool, shadow, request, completion, note = std::move(note)](const PromptVerdict& verdict) {
    note(verdict.hits);
    using enum PromptVerdict::May;
    if (verdict.may == pass) return ask(pool.lock(), GenerateRequest(request), shadow.lock());
    completion->answer_instead(verdict.may == not_pass ? refusal(400, "the request holds what this endpoint does not take", "invalid_request_error", "content_filter")
                                                       : try_later(503, "the request could not be looked at in time", "guard_unavailable", 5));
  });
}

void Gateway::Endpoint::start(CompletionRequest&& parsed, const Router::Choice& choice, Completion::Context&& context, NoteHits note, const Responder& responder) {
  context.stream = parsed.stream;
  context.frame.streams_usage = parsed.include_usage;
  if (!parsed.generate.greedy) context.seed = parsed.generate.seed;
  if (parsed.tools.may_call()) context.tools = std::make_unique<ToolCallReader>(std::move(parsed.tools));
  context.meter = choice.release->meter;
  context.version = choice.release->version;
  const auto run = std::make_shared<RequestRun>();
  if (choice.fallback)
    context.fallback = {[run, pool = std::weak_ptr(choice.fallback->pool), request = parsed.generate](std::shared_ptr<GenerateListener> listener) {
                          const auto alive = pool.lock();
                          return alive && run->ask(alive, request, std::move(listener)).has_value();
                        },
                        choice.fallback->meter, choice.fallback->version};
  auto completion = std::make_shared<Completion>(std::move(context), responder);
  look_and_ask(choice, std::move(parsed.generate), run, completion, std::move(note));
  completion->on_stop([run] { run->stop(); });
  responder.on_abort([completion = std::weak_ptr(completion), run] {
    if (auto alive = completion.lock()) alive->client_left();
    run->stop();
  });
}

Json Gateway::Endpoint::model_json(const Release& release) {
  return {{"id", release.name},
          {"object", "model"},
          {"created", seconds_of(release.since)},
          {"owned_by", "redoubt"},
          {"version", release.version}};
}

void Gateway::Endpoint::models(const Request& request, const Caller& key, const Responder& responder) {
  Json list = {{"object", "list"}, {"data", Json::array()}};
  if (auto release = deps_.router.active()) {
    if (key.may_use(release->name)) list["data"].push_back(model_json(*release));
    for (const auto& adapter : release->pool->state().adapters) {
      if (!key.may_use(adapter)) continue;
      list["data"].push_back(model_json(*release));
      list["data"].back().update({{"id", adapter}, {"parent", release->name}});
    }
  }
  reply(request, key, responder, json_response(200, dump_json(list)));
}

void Gateway::Endpoint::model(const Request& request, const Caller& key, const Responder& responder) {
  const auto name = segment_of("/v1/models/{model}", request.path);
  const auto release = deps_.router.active();
  const bool is_release = release && !name.empty() && release->answers_to(name);
  const auto adapters = release ? release->pool->state().adapters : std::vector<std::string>();
  const bool is_adapter = !is_release && std::find(adapters.begin(), adapters.end(), name) != adapters.end();
  if (!(is_release && key.may_use(release->name)) && !(is_adapter && key.may_use(name)))
    return reply(request, key, responder, refusal(404, "the model does not exist", "invalid_request_error", "model_not_found", {}, "model"));
  auto json = model_json(*release);
  if (is_adapter) json.update({{"id", name}, {"parent", release->name}});
  reply(request, key, responder, json_response(200, dump_json(json)));
}

// Of what this key may ask, so that the document is true for whoever reads it.
void Gateway::Endpoint::document(const Request& request, const Caller& key, const Responder& responder) {
  Served served;
  if (const auto release = deps_.router.active()) {
    const auto state = release->pool->state();
    served.knows_tools = state.knows_tools;
    served.embedding_length = state.embedding_length;
    if (key.may_use(release->name)) served.models = {release->name, release->name + "/" + release->version};
    for (const auto& adapter : state.adapters)
      if (key.may_use(adapter)) served.models.push_back(adapter);
  }
  reply(request, key, responder, json_response(200, dump_json(open_api(route_table(), limits_, served))));
}

// Healthy means that a worker has lately answered, or is started by the next request; not that this process runs.
void Gateway::Endpoint::ping(const Request& request, const Caller& key, const Responder& responder) {
  auto release = deps_.router.active();
  const bool healthy = release && release->pool->state().can_answer;
  deps_.metrics.add_response("/ping", healthy ? 200 : 503);
  key.seen->end(healthy ? 200 : 503);
  (void)request;
  responder.send({healthy ? 200 : 503, {}, "", {}, 0, 0});
}

// Whoever restarts a process that is alive because its workers are not loses the requests under way: so this is another question.
void Gateway::Endpoint::live(const Request&, const Caller& key, const Responder& responder) {
  deps_.metrics.add_response("/live", 200);
  key.seen->end(200);
  responder.send({200, {}, "", {}, 0, 0});
}

// What /ping keeps to itself.
void Gateway::Endpoint::health(const Request& request, const Caller& key, const Responder& responder) {
  const auto release = deps_.router.active();
  const auto state = release ? release->pool->state() : PoolState{};
  const bool healthy = state.can_answer;
  const Json body = {{"status", healthy ? "healthy" : "unhealthy"}, {"workers", state.workers}, {"workers_ready", state.workers_ready},
                     {"running", state.running}, {"queued", state.queued}};
  deps_.metrics.add_response("/health", healthy ? 200 : 503);
  key.seen->end(healthy ? 200 : 503);
  (void)request;
  responder.send(json_response(healthy ? 200 : 503, dump_json(body)));
}

void Gateway::Endpoint::metrics(const Request& request, const Caller& key, const Responder& responder) {
  GatewayMetrics::Gauges gauges;
  if (auto release = deps_.router.active()) {
    auto state = release->pool->state();
    gauges = {state.running, state.queued, state.workers_ready, state.restarts, release->name};
  }
  reply(request, key, responder,
        {200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}, deps_.metrics.prometheus(gauges), {}, 0, 0});
}

Gateway::Gateway(http::ServerOptions options, std::unique_ptr<Endpoint> endpoint, GatewayMetrics& metrics)
    : options_(std::move(options)), metrics_(metrics), endpoint_(std::move(endpoint)) {}
Gateway::~Gateway() = default;

Result<std::unique_ptr<Gateway>> Gateway::create(GatewayOptions options, GatewayDeps deps) {
  const auto& limits = options.limits;
  if (limits.answer_tokens_max < 1 || limits.answer_tokens_default < 1 || limits.messages_max < 1 ||
      limits.prompt_bytes_max < 1)
    return fail(ErrorCode::invalid_argument, "the limits of requests must be above 0", "endpoint.limits");
  auto& headers = options.server.headers;
  if (options.server.answer_ms_max == 0) options.server.answer_ms_max = kAnswerMsMax;
  headers.add("Strict-Transport-Security", "max-age=63072000");
  headers.add("X-Content-Type-Options", "nosniff");
  headers.add("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
  headers.add("Referrer-Policy", "no-referrer");
  headers.add("Cache-Control", "no-store");
  auto& metrics = deps.metrics;
  auto endpoint = std::make_unique<Endpoint>(options, std::move(deps));
  return std::unique_ptr<Gateway>(new Gateway(std::move(options.server), std::move(endpoint), metrics));
}

Status Gateway::start(const Gateway* before) {
  if (server_) return fail(ErrorCode::already_exists, "the endpoint serves already");
  if (before != nullptr && !before->server_) return fail(ErrorCode::unavailable, "the endpoint before does not serve");
  server_ = before != nullptr ? TRY(http::Server::succeed(*before->server_, options_, *endpoint_)) : TRY(http::Server::start(options_, *endpoint_));
  tell_life(metrics_, options_.certificate_pem);
  options_.private_key_pem = {};
  return {};
}

std::uint16_t Gateway::port() const { return server_ ? server_->port() : 0; }

Status Gateway::replace_certificate(const std::string& certificate_pem, const Secret& private_key_pem) {
  if (!server_) return fail(ErrorCode::unavailable, "the endpoint does not serve");
  TRY(server_->replace_certificate(certificate_pem, private_key_pem));
  tell_life(metrics_, certificate_pem);
  return {};
}

bool Gateway::drain(std::chrono::milliseconds time_max) { return !server_ || server_->drain(time_max); }

}  // namespace redoubt::gateway
