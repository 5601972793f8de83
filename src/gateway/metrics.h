// SPDX-License-Identifier: Apache-2.0
//
// What the endpoint counts: totals in Prometheus text (vLLM's names where they mean the same), and a window of the last
// minutes for those who watch alarms. Safe from several threads; no prompt, answer or key is ever a label.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "telemetry/answer_times.h"

namespace redoubt::gateway {

struct CertificateLife {
  TimePoint begin{}, end{};
};

// The last minute, and latencies of answered generations over the last five (at most the latest 8,192).
struct MetricsSnapshot {
  std::uint64_t requests_per_minute = 0;       // of every route
  std::uint64_t invocations_per_minute = 0;    // generations asked for with a valid key
  std::uint64_t errors_per_minute = 0;         // invocations that ended in a 5xx or a broken stream
  std::uint64_t client_errors_per_minute = 0;  // 4xx but 401, 403 and 429
  std::uint64_t throttled_per_minute = 0;      // 429
  std::uint64_t unauthorized_per_minute = 0;   // no, a wrong or an insufficient key
  std::uint64_t guard_hits_per_minute = 0;     // what guards took out or refused
  double latency_p50_ms = 0, latency_p99_ms = 0;
  double first_token_p50_ms = 0, first_token_p99_ms = 0;
  std::uint64_t latency_samples = 0;
  std::optional<CertificateLife> certificate;  // the endpoint's; nothing before it has one
};

class GatewayMetrics {
 public:
  // The clock measures what lasts: a machine's that is set would keep old answers for new ones.
  explicit GatewayMetrics(const Clock& intervals);

  enum class Count { requests, invocations, errors, client_errors, throttled, unauthorized, guard_hits };
  void add(Count what);
  void add_response(std::string_view route, int status);  // `route` is the table's pattern, never a client's path
  enum class Operation { chat, text_completion };
  void add_generation(std::uint64_t prompt_tokens, std::uint64_t completion_tokens, std::uint64_t reused_tokens, double latency_ms,
                      double first_token_ms, const std::string& finish_reason = "stop", Operation operation = Operation::chat);
  void add_times(const telemetry::AnswerTimes& times);  // of a generation
  void add_embedding(std::uint64_t prompt_tokens, double latency_ms);
  // Tokens of an answer that nobody waited for; its times say nothing.
  void add_unfinished(std::uint64_t prompt_tokens, std::uint64_t completion_tokens);
  // What became of an answer to its end: each is one of these.
  enum class Capture { captured, dropped, unsampled };
  void add_capture(Capture what);
  // All names are of ours: a direction, a group of kinds, a kind or rule, an action.
  struct GuardHit {
    std::string direction, guard, kind, action;
    auto operator<=>(const GuardHit&) const = default;
  };
  void add_guard_hit(const GuardHit& hit);
  void set_certificate(CertificateLife life);
  void add_telemetry_lost(const std::string& what, std::uint64_t records);  // "access_log", "traces"
  // How the issuer's keys were fetched, when by the date, and how many there are now.
  void add_key_fetch(bool succeeded, std::size_t keys, TimePoint time);

  MetricsSnapshot snapshot() const;
  struct Gauges {
    int running = 0, waiting = 0, workers_ready = 0;
    std::uint64_t worker_restarts = 0;
    std::string model = {};  // the name of what serves: vLLM's metrics bear it
  };
  std::string prometheus(const Gauges& gauges) const;

 private:
  static constexpr std::size_t kCounts = 7, kSeconds = 60;
  struct Second {
    std::int64_t second = -1;
    std::array<std::uint64_t, kCounts> counts{};
  };
  struct Sample {
    TimePoint time;
    double latency_ms, first_token_ms;
  };
  struct Histogram {
    explicit Histogram(std::span<const double> upper) : bounds(upper), buckets(upper.size()) {}
    std::span<const double> bounds;
    std::vector<std::uint64_t> buckets;
    std::uint64_t count = 0;
    double sum = 0;
    void add(double value);
    Histogram operator+(const Histogram& other) const;  // of the same bounds
  };
  // Of one operation.
  struct Generations {
    Generations();
    Histogram latency, first_token, per_token, prompt_lengths, answer_lengths;
  };
  struct ByRoute {  // looked for without a copy of the route
    using is_transparent = void;
    bool operator()(const auto& a, const auto& b) const { return a.first != b.first ? a.first < b.first : a.second < b.second; }
  };
  struct KeyFetches {
    std::uint64_t succeeded = 0, failed = 0, keys = 0;
    TimePoint last{};  // that succeeded
  };
  // `labels`: "name=\"value\"", or empty.
  static void write(std::string& out, const char* name, const char* help, const Histogram& histogram, const std::string& labels = "");
  void write_histograms(std::string& out, const std::string& of_model) const;
  static void write(std::string& out, const KeyFetches& fetches);

  const Clock& intervals_;
  mutable std::mutex mutex_;
  std::array<Second, kSeconds> seconds_{};
  std::array<std::uint64_t, kCounts> totals_{};
  std::map<std::pair<std::string, int>, std::uint64_t, ByRoute> responses_;
  std::map<GuardHit, std::uint64_t> guard_hits_;
  std::map<std::string, std::uint64_t> telemetry_lost_;
  std::optional<CertificateLife> certificate_;
  std::optional<KeyFetches> key_fetches_;  // nothing: no keys are fetched here
  std::deque<Sample> samples_;
  Generations chats_, completions_;
  Histogram queue_, prefill_, decode_, embedding_latency_, embedding_lengths_;
  std::map<std::string, std::uint64_t> finished_;
  std::uint64_t prompt_tokens_ = 0, completion_tokens_ = 0, reused_tokens_ = 0;
  std::array<std::uint64_t, 3> captures_{};
};

}  // namespace redoubt::gateway
