// SPDX-License-Identifier: Apache-2.0
#include "gateway/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "gateway/percentile.h"

namespace redoubt::gateway {
namespace {

constexpr std::size_t kSamplesMax = 8192;
constexpr auto kSampleWindow = std::chrono::minutes(5);
constexpr double kBounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120};

// Of the OpenTelemetry semantic conventions for generative AI: gen_ai.server.time_per_output_token and gen_ai.client.token.usage.
constexpr double kPerTokenBounds[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5};
constexpr double kTokenBounds[] = {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576};

std::int64_t second_of(TimePoint time) { return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count(); }

// `labels`: "name=\"value\"", or empty.
void write_value(std::string& out, const char* name, const char* kind, const char* help, std::uint64_t value, const std::string& labels = "") {
  out += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n{0}{4} {3}\n", name, help, kind, value, labels.empty() ? "" : "{" + labels + "}");
}

std::string label_of(const char* name, std::string_view value) {
  std::string out = std::string(name) + "=\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    c == '\n' ? out += "\\n" : out += c;
  }
  return out += '"';
}

}  // namespace

GatewayMetrics::GatewayMetrics(const Clock& intervals)
    : intervals_(intervals), queue_(kBounds), prefill_(kBounds), decode_(kBounds), embedding_latency_(kBounds), embedding_lengths_(kTokenBounds) {}

GatewayMetrics::Generations::Generations() : latency(kBounds), first_token(kBounds), per_token(kPerTokenBounds), prompt_lengths(kTokenBounds), answer_lengths(kTokenBounds) {}

void GatewayMetrics::Histogram::add(double value) {
  for (std::size_t i = 0; i < buckets.size(); ++i)
    if (value <= bounds[i]) ++buckets[i];
  ++count;
  sum += value;
}

GatewayMetrics::Histogram GatewayMetrics::Histogram::operator+(const Histogram& other) const {
  auto both = *this;
  for (std::size_t i = 0; i < buckets.size(); ++i) both.buckets[i] += other.buckets[i];
  both.count += other.count;
  both.sum += other.sum;
  return both;
}

void GatewayMetrics::add(Count what) {
  std::lock_guard lock(mutex_);
  auto now = second_of(intervals_.now());
  auto& second = seconds_[static_cast<std::size_t>(now) % kSeconds];
  if (second.second != now) second = {now, {}};
  ++second.counts[static_cast<std::size_t>(what)];
  ++totals_[static_cast<std::size_t>(what)];
}

void GatewayMetrics::add_response(std::string_view route, int status) {
  std::lock_guard lock(mutex_);
  const auto found = responses_.find(std::pair(route, status));
  if (found != responses_.end()) ++found->second;
  else responses_.emplace(std::pair(std::string(route), status), 1);
}

void GatewayMetrics::add_generation(std::uint64_t prompt_tokens, std::uint64_t completion_tokens, std::uint64_t reused_tokens, double latency_ms,
                                    double first_token_ms, const std::string& finish_reason, Operation operation) {
  std::lock_guard lock(mutex_);
  prompt_tokens_ += prompt_tokens;
  completion_tokens_ += completion_tokens;
  reused_tokens_ += reused_tokens;
  auto& generations = operation == Operation::chat ? chats_ : completions_;
  generations.latency.add(latency_ms / 1000);
  generations.first_token.add(first_token_ms / 1000);
  if (completion_tokens > 1) generations.per_token.add((latency_ms - first_token_ms) / 1000 / static_cast<double>(completion_tokens - 1));
  generations.prompt_lengths.add(static_cast<double>(prompt_tokens));
  generations.answer_lengths.add(static_cast<double>(completion_tokens));
  ++finished_[finish_reason];
  samples_.push_back({intervals_.now(), latency_ms, first_token_ms});
  if (samples_.size() > kSamplesMax) samples_.pop_front();
}

void GatewayMetrics::add_times(const telemetry::AnswerTimes& times) {
  const auto seconds = [](std::chrono::microseconds time) { return std::chrono::duration<double>(time).count(); };
  std::lock_guard lock(mutex_);
  queue_.add(seconds(times.waited + (times.engine ? times.engine->queue : std::chrono::microseconds())));
  if (!times.engine) return;
  prefill_.add(seconds(times.engine->prefill));
  decode_.add(seconds(times.engine->decode));
}

void GatewayMetrics::add_embedding(std::uint64_t prompt_tokens, double latency_ms) {
  std::lock_guard lock(mutex_);
  prompt_tokens_ += prompt_tokens;
  embedding_latency_.add(latency_ms / 1000);
  embedding_lengths_.add(static_cast<double>(prompt_tokens));
}

void GatewayMetrics::add_unfinished(std::uint64_t prompt_tokens, std::uint64_t completion_tokens) {
  std::lock_guard lock(mutex_);
  prompt_tokens_ += prompt_tokens;
  completion_tokens_ += completion_tokens;
  ++finished_["abort"];  // vLLM's word
}

void GatewayMetrics::add_capture(Capture what) {
  std::lock_guard lock(mutex_);
  ++captures_[static_cast<std::size_t>(what)];
}

void GatewayMetrics::add_guard_hit(const GuardHit& hit) {
  // What is only logged is no reason for an alarm.
  if (hit.action == "redact" || hit.action == "refuse") add(Count::guard_hits);
  std::lock_guard lock(mutex_);
  ++guard_hits_[hit];
}

void GatewayMetrics::set_certificate(CertificateLife life) {
  std::lock_guard lock(mutex_);
  certificate_ = life;
}

void GatewayMetrics::add_telemetry_lost(const std::string& what, std::uint64_t records) {
  std::lock_guard lock(mutex_);
  telemetry_lost_[what] += records;
}

void GatewayMetrics::add_key_fetch(bool succeeded, std::size_t keys, TimePoint time) {
  std::lock_guard lock(mutex_);
  if (!key_fetches_) key_fetches_ = KeyFetches{};
  ++(succeeded ? key_fetches_->succeeded : key_fetches_->failed);
  key_fetches_->keys = keys;
  if (succeeded) key_fetches_->last = time;
}

MetricsSnapshot GatewayMetrics::snapshot() const {
  std::lock_guard lock(mutex_);
  MetricsSnapshot result;
  const auto time = intervals_.now();
  auto now = second_of(time);
  std::array<std::uint64_t, kCounts> sums{};
  for (const auto& second : seconds_)
    if (second.second > now - static_cast<std::int64_t>(kSeconds) && second.second <= now)
      for (std::size_t i = 0; i < kCounts; ++i) sums[i] += second.counts[i];
  auto sum = [&](Count what) { return sums[static_cast<std::size_t>(what)]; };
  result.requests_per_minute = sum(Count::requests);
  result.invocations_per_minute = sum(Count::invocations);
  result.errors_per_minute = sum(Count::errors);
  result.client_errors_per_minute = sum(Count::client_errors);
  result.throttled_per_minute = sum(Count::throttled);
  result.unauthorized_per_minute = sum(Count::unauthorized);
  result.guard_hits_per_minute = sum(Count::guard_hits);
  result.certificate = certificate_;
  std::vector<double> latencies, first_tokens;
  for (const auto& sample : samples_) {
    if (time - sample.time > kSampleWindow) continue;
    latencies.push_back(sample.latency_ms);
    first_tokens.push_back(sample.first_token_ms);
  }
  result.latency_samples = latencies.size();
  result.latency_p50_ms = percentile(latencies, 0.50);
  result.latency_p99_ms = percentile(latencies, 0.99);
  result.first_token_p50_ms = percentile(first_tokens, 0.50);
  result.first_token_p99_ms = percentile(first_tokens, 0.99);
  return result;
}

void GatewayMetrics::write(std::string& out, const char* name, const char* help, const Histogram& histogram, const std::string& labels) {
  const auto among = labels.empty() ? "" : labels + ",", alone = labels.empty() ? "" : "{" + labels + "}";
  // One family may come in parts that differ in a label.
  if (const auto head = fmt::format("# HELP {0} {1}\n# TYPE {0} histogram\n", name, help); out.find(head) == out.npos) out += head;
  for (std::size_t i = 0; i < histogram.buckets.size(); ++i)
    out += fmt::format("{}_bucket{{{}le=\"{}\"}} {}\n", name, among, histogram.bounds[i], histogram.buckets[i]);
  out += fmt::format("{0}_bucket{{{1}le=\"+Inf\"}} {3}\n{0}_sum{2} {4}\n{0}_count{2} {3}\n", name, among, alone, histogram.count, histogram.sum);
}

// The same measurements under vLLM's names and under those of the OpenTelemetry semantic conventions for generative AI, so that the
// dashboards of both find them.
void GatewayMetrics::write_histograms(std::string& out, const std::string& of_model) const {
  write(out, "vllm:e2e_request_latency_seconds", "From a request to the end of its answer.", chats_.latency + completions_.latency, of_model);
  write(out, "vllm:time_to_first_token_seconds", "From a request to its first token.", chats_.first_token + completions_.first_token, of_model);
  // What vLLM calls it now, and called it before.
  for (const char* name : {"vllm:request_time_per_output_token_seconds", "vllm:time_per_output_token_seconds"}) write(out, name, "Between an answer's tokens, its mean.", chats_.per_token + completions_.per_token, of_model);
  write(out, "vllm:request_queue_time_seconds", "Until a slot of the engine was free.", queue_, of_model);
  write(out, "vllm:request_prefill_time_seconds", "From a slot to the first token.", prefill_, of_model);
  write(out, "vllm:request_decode_time_seconds", "From the first token to the last.", decode_, of_model);
  write(out, "vllm:request_prompt_tokens", "Tokens of a prompt.", chats_.prompt_lengths + completions_.prompt_lengths, of_model);
  write(out, "vllm:request_generation_tokens", "Tokens of an answer.", chats_.answer_lengths + completions_.answer_lengths, of_model);
  const auto labels_of = [](const char* operation) { return fmt::format("gen_ai_operation_name=\"{}\",gen_ai_provider_name=\"redoubt\"", operation); };
  const std::pair<std::string, const Generations&> generations[] = {{labels_of("chat"), chats_}, {labels_of("text_completion"), completions_}};
  const auto embeds = labels_of("embeddings");
  for (const auto& [labels, all] : generations) write(out, "gen_ai_server_request_duration_seconds", "From a request to the end of its answer.", all.latency, labels);
  write(out, "gen_ai_server_request_duration_seconds", "From a request to the end of its answer.", embedding_latency_, embeds);
  for (const auto& [labels, all] : generations) write(out, "gen_ai_server_time_to_first_token_seconds", "From a request to its first token.", all.first_token, labels);
  for (const auto& [labels, all] : generations) write(out, "gen_ai_server_time_per_output_token_seconds", "Between an answer's tokens, its mean.", all.per_token, labels);
  for (const auto& [labels, all] : generations) {
    write(out, "gen_ai_client_token_usage", "Tokens of a request.", all.prompt_lengths, labels + ",gen_ai_token_type=\"input\"");
    write(out, "gen_ai_client_token_usage", "Tokens of a request.", all.answer_lengths, labels + ",gen_ai_token_type=\"output\"");
  }
  write(out, "gen_ai_client_token_usage", "Tokens of a request.", embedding_lengths_, embeds + ",gen_ai_token_type=\"input\"");
}

void GatewayMetrics::write(std::string& out, const KeyFetches& fetches) {
  out += "# HELP redoubt_oidc_key_fetches_total Fetches of the token issuer's keys.\n# TYPE redoubt_oidc_key_fetches_total counter\n";
  out += fmt::format("redoubt_oidc_key_fetches_total{{outcome=\"success\"}} {}\nredoubt_oidc_key_fetches_total{{outcome=\"failure\"}} {}\n", fetches.succeeded, fetches.failed);
  write_value(out, "redoubt_oidc_keys", "gauge", "Keys of the token issuer that can verify a token.", fetches.keys);
  write_value(out, "redoubt_oidc_keys_fetched_timestamp_seconds", "gauge", "When they were last fetched; 0 where they never were.", static_cast<std::uint64_t>(second_of(fetches.last)));
}

std::string GatewayMetrics::prometheus(const Gauges& gauges) const {
  std::lock_guard lock(mutex_);
  std::string out;
  auto total = [&](Count what) { return totals_[static_cast<std::size_t>(what)]; };
  const auto of_model = label_of("model_name", gauges.model);
  write_value(out, "vllm:num_requests_running", "gauge", "Generations under way.", static_cast<std::uint64_t>(gauges.running), of_model);
  write_value(out, "vllm:num_requests_waiting", "gauge", "Generations that wait for a slot.", static_cast<std::uint64_t>(gauges.waiting), of_model);
  write_value(out, "vllm:prompt_tokens_total", "counter", "Tokens of prompts.", prompt_tokens_, of_model);
  write_value(out, "vllm:prefix_cache_queries_total", "counter", "Tokens of prompts that could have been there already.", prompt_tokens_, of_model);
  write_value(out, "vllm:prefix_cache_hits_total", "counter", "Tokens of prompts that were.", reused_tokens_, of_model);
  write_value(out, "vllm:generation_tokens_total", "counter", "Tokens generated.", completion_tokens_, of_model);
  write_histograms(out, of_model);
  out += "# HELP vllm:request_success_total Answers by how they ended.\n# TYPE vllm:request_success_total counter\n";
  for (const auto& [reason, count] : finished_) out += fmt::format("vllm:request_success_total{{finished_reason=\"{}\",{}}} {}\n", reason, of_model, count);
  write_value(out, "redoubt_requests_total", "counter", "Requests of every route.", total(Count::requests));
  write_value(out, "redoubt_invocations_total", "counter", "Generations asked for.", total(Count::invocations));
  write_value(out, "redoubt_invocation_errors_total", "counter", "Generations that failed on our side.",
              total(Count::errors));
  write_value(out, "redoubt_throttled_total", "counter", "Requests beyond a limit.", total(Count::throttled));
  write_value(out, "redoubt_unauthorized_total", "counter", "Requests without a sufficient key.",
              total(Count::unauthorized));
  auto captures = [&](Capture what) { return captures_[static_cast<std::size_t>(what)]; };
  write_value(out, "redoubt_captures_total", "counter", "Answers that were captured.", captures(Capture::captured));
  write_value(out, "redoubt_captures_dropped_total", "counter", "Captured records that were lost.", captures(Capture::dropped));
  write_value(out, "redoubt_captures_unsampled_total", "counter", "Answers that were not to be captured.", captures(Capture::unsampled));
  write_value(out, "redoubt_workers_ready", "gauge", "Engine workers that serve.",
              static_cast<std::uint64_t>(gauges.workers_ready));
  write_value(out, "redoubt_worker_restarts_total", "counter", "Engine workers that were replaced.", gauges.worker_restarts);
  if (certificate_)
    write_value(out, "redoubt_certificate_expiry_timestamp_seconds", "gauge", "When the endpoint's certificate ends, in seconds since 1970.", static_cast<std::uint64_t>(std::max<std::int64_t>(0, second_of(certificate_->end))));
  out += "# HELP redoubt_responses_total Answers by route and status.\n# TYPE redoubt_responses_total counter\n";
  for (const auto& [key, count] : responses_)
    out += fmt::format("redoubt_responses_total{{route=\"{}\",status=\"{}\"}} {}\n", key.first, key.second, count);
  out += "# HELP redoubt_guard_hits_total What guards found, and did.\n# TYPE redoubt_guard_hits_total counter\n";
  for (const auto& [hit, count] : guard_hits_)
    out += fmt::format("redoubt_guard_hits_total{{direction=\"{}\",guard=\"{}\",kind=\"{}\",action=\"{}\"}} {}\n", hit.direction, hit.guard, hit.kind, hit.action, count);
  out += "# HELP redoubt_telemetry_lost_total Records of requests that were not written or sent.\n# TYPE redoubt_telemetry_lost_total counter\n";
  for (const auto& [what, count] : telemetry_lost_) out += fmt::format("redoubt_telemetry_lost_total{{what=\"{}\"}} {}\n", what, count);
  if (key_fetches_) write(out, *key_fetches_);
  return out;
}

}  // namespace redoubt::gateway
