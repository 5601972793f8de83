// SPDX-License-Identifier: Apache-2.0
#include "telemetry/trace_exporter.h"

#include "base/json.h"
#include "base/log.h"

namespace redoubt::telemetry {
namespace {

constexpr int kInternalKind = 1, kServerKind = 2, kClientKind = 3, kErrorStatus = 2;

// 64-bit numbers are texts in the JSON encoding of protocol buffers.
std::string nanoseconds(std::chrono::nanoseconds since_epoch) { return std::to_string(since_epoch.count()); }
std::string nanoseconds(TimePoint time) { return nanoseconds(std::chrono::nanoseconds(time.time_since_epoch())); }

Json attribute(const char* key, Json value) { return {{"key", key}, {"value", std::move(value)}}; }
Json string_value(std::string_view value) { return {{"stringValue", value}}; }
Json int_value(std::int64_t value) { return {{"intValue", std::to_string(value)}}; }

Json attributes_of(const RequestRecord& record) {
  Json attributes = Json::array({attribute("http.request.method", string_value(record.method)), attribute("http.route", string_value(record.route)),
                                 attribute("http.response.status_code", int_value(record.status)), attribute("redoubt.request.id", string_value(record.id))});
  if (!record.key_id.empty()) attributes.push_back(attribute("redoubt.key.id", string_value(record.key_id)));
  if (!record.tenant.empty()) attributes.push_back(attribute("redoubt.tenant", string_value(record.tenant)));
  if (record.status >= 500) attributes.push_back(attribute("error.type", string_value(std::to_string(record.status))));
  if (record.operation.empty()) return attributes;
  attributes.push_back(attribute("gen_ai.operation.name", string_value(record.operation)));
  attributes.push_back(attribute("gen_ai.provider.name", string_value("redoubt")));
  attributes.push_back(attribute("gen_ai.request.model", string_value(record.model)));
  attributes.push_back(attribute("gen_ai.usage.input_tokens", int_value(record.prompt_tokens)));
  attributes.push_back(attribute("gen_ai.usage.output_tokens", int_value(record.completion_tokens)));
  if (!record.finish_reason.empty())
    attributes.push_back(attribute("gen_ai.response.finish_reasons", {{"arrayValue", {{"values", Json::array({string_value(record.finish_reason)})}}}}));
  return attributes;
}

Json span_of(const RequestRecord& record) {
  // Identifiers are hexadecimal in OTLP's JSON, unlike other bytes of protocol buffers.
  Json span = {{"traceId", record.trace.trace_id},
               {"spanId", record.trace.span_id},
               {"name", record.operation.empty() ? (record.method + " ").append(record.route) : record.operation + " " + record.model},
               {"kind", kServerKind},
               {"startTimeUnixNano", nanoseconds(record.begun)},
               {"endTimeUnixNano", nanoseconds(record.ended)},
               {"attributes", attributes_of(record)},
               {"flags", record.trace.sampled ? 1 : 0}};
  if (!record.parent_span.empty()) span["parentSpanId"] = record.parent_span;
  if (record.first_token_ms >= 0)
    span["events"] = Json::array({{{"name", "first token"}, {"timeUnixNano", nanoseconds(record.begun + std::chrono::milliseconds(record.first_token_ms))}}});
  if (record.status >= 500) span["status"] = {{"code", kErrorStatus}};
  return span;
}

// Where an answer's time went, as spans below the request's: the wait for a worker, what the worker was asked, and below that what its engine
// says. The engine's clock is not ours: its phases begin when it was asked, and none is longer than we waited.
void add_phases(Json& spans, const RequestRecord& record) {
  if (!record.times) return;
  const auto& times = *record.times;
  const auto add = [&](const std::string& name, int kind, const std::string& parent, std::chrono::nanoseconds begin, std::chrono::nanoseconds end) -> Json& {
    const auto context = new_span(TraceContext{record.trace.trace_id, parent, true}, true);
    spans.push_back({{"traceId", context.trace_id}, {"spanId", context.span_id}, {"parentSpanId", parent}, {"name", name}, {"kind", kind}, {"startTimeUnixNano", nanoseconds(begin)},
                     {"endTimeUnixNano", nanoseconds(end)}, {"attributes", Json::array()}, {"flags", 1}});
    return spans.back();
  };
  // The request's own times are whole milliseconds.
  const std::chrono::nanoseconds first = record.begun.time_since_epoch(), end = record.answered.time_since_epoch(), begin = std::max(first, end - times.worked);
  add("wait for a worker", kInternalKind, record.trace.span_id, std::max(first, begin - times.waited), begin);
  auto& worker = add("engine " + record.operation, kClientKind, record.trace.span_id, begin, end);
  if (!times.engine) return;
  const auto seconds = [](std::chrono::microseconds time) { return Json{{"doubleValue", std::chrono::duration<double>(time).count()}}; };
  worker["attributes"] = Json::array({attribute("gen_ai.latency.time_in_queue", seconds(times.engine->queue)), attribute("gen_ai.latency.time_in_model_prefill", seconds(times.engine->prefill)),
                                      attribute("gen_ai.latency.time_in_model_decode", seconds(times.engine->decode))});
  const auto parent = worker["spanId"].get<std::string>();  // `worker` goes with the next span
  auto from = begin;
  for (const auto& [name, time] : {std::pair("queue", times.engine->queue), std::pair("prefill", times.engine->prefill), std::pair("decode", times.engine->decode)}) {
    const auto to = std::min(from + std::chrono::nanoseconds(time), end);
    add(name, kInternalKind, parent, from, to);
    from = to;
  }
}

http::ClientOptions client_options(const TraceOptions& options) {
  http::ClientOptions client;
  client.ca_file = options.ca_file;
  client.allow_plain_loopback = true;
  client.connect_s_max = 5;
  client.total_s_max = 15;
  client.redirects_max = 0;
  return client;
}

}  // namespace

std::string to_otlp_json(const std::vector<RequestRecord>& records, const std::string& service) {
  Json spans = Json::array();
  for (const auto& record : records) {
    spans.push_back(span_of(record));
    add_phases(spans, record);
  }
  const Json scope = {{"scope", {{"name", "redoubt.gateway"}}}, {"spans", std::move(spans)}};
  const Json resource = {{"resource", {{"attributes", Json::array({attribute("service.name", string_value(service))})}}}, {"scopeSpans", Json::array({scope})}};
  return dump_json({{"resourceSpans", Json::array({resource})}});
}

Status check_collector(const std::string& url) {
  const auto place = TRY(http::parse_url(url));
  if (!http::is_safe_way(place)) return fail(ErrorCode::invalid_argument, "traces go over https, or to this machine", http::without_query(url));
  return {};
}

Result<std::unique_ptr<TraceExporter>> TraceExporter::create(TraceOptions options) {
  TRY(check_collector(options.url));
  return std::unique_ptr<TraceExporter>(new TraceExporter(std::move(options)));
}

TraceExporter::TraceExporter(TraceOptions options)
    : options_(std::move(options)), client_(client_options(options_)), queue_(options_.queue, [this](const auto& records) { send(records); }, options_.on_lost) {}

void TraceExporter::send(const std::vector<RequestRecord>& records) {
  http::ClientRequest request;
  request.method = "POST";
  request.url = options_.url;
  request.headers.add("Content-Type", "application/json");
  request.body = to_otlp_json(records, options_.service);
  request.bytes_max = 1 << 20;
  Result<std::pair<http::ClientResponse, std::string>> sent = client_.fetch(request);
  for (int attempt = 1; !sent && sent.error().code == ErrorCode::unavailable && attempt < options_.attempts; ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100 << attempt));
    sent = client_.fetch(request);
  }
  // A collector may take some and tell how many it did not.
  std::uint64_t lost = sent ? 0 : records.size();
  if (sent) {
    const auto body = parse_json(sent->second, "collector");
    const auto partial = body && body->is_object() ? json_or(*body, "partialSuccess", Json::object()) : Json::object();
    if (partial.is_object() && partial.contains("rejectedSpans")) {
      const auto& rejected = partial["rejectedSpans"];
      lost = rejected.is_number_unsigned() ? rejected.get<std::uint64_t>() : rejected.is_string() ? std::strtoull(rejected.get<std::string>().c_str(), nullptr, 10) : 0;
    }
  }
  if (lost > 0 && options_.on_lost) options_.on_lost(std::min<std::uint64_t>(lost, records.size()));
  if (!sent && !failed_) spdlog::warn("traces can't be sent: {}", sent.error().message);
  if (sent && failed_) spdlog::info("traces are sent again");
  failed_ = !sent;
}

}  // namespace redoubt::telemetry
