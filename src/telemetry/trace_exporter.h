// SPDX-License-Identifier: Apache-2.0
//
// Spans of requests to an OpenTelemetry collector: OTLP 1.x over HTTP in its JSON encoding (opentelemetry.io/docs/specs/otlp), with the
// semantic conventions' names for HTTP servers and generative AI, and below each answer's span where its time went. In batches and in the
// background; what can't be sent is counted.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "http/client.h"
#include "telemetry/bounded_queue.h"
#include "telemetry/request_record.h"

namespace redoubt::telemetry {

struct TraceOptions {
  std::string url;      // of the traces: https, or http to this machine; ".../v1/traces"
  std::string ca_file;  // whose certificate the collector has; empty: the system's authorities
  std::string service = "redoubt";
  QueueOptions queue = {.entries_max = 4096, .batch = 256, .wait_ms = 1000};
  int attempts = 3;     // of one batch
  std::function<void(std::uint64_t)> on_lost = {};  // requests, or spans where the collector says how many
};

// invalid_argument for a URL that is neither https nor this machine's.
Status check_collector(const std::string& url);

// An ExportTraceServiceRequest.
std::string to_otlp_json(const std::vector<RequestRecord>& records, const std::string& service);

class TraceExporter final : public RequestSink {
 public:
  // See check_collector.
  static Result<std::unique_ptr<TraceExporter>> create(TraceOptions options);
  // Only what is sampled.
  void tell(const RequestRecord& record) override {
    if (record.trace.sampled) queue_.put(record);
  }

 private:
  explicit TraceExporter(TraceOptions options);
  void send(const std::vector<RequestRecord>& records);

  const TraceOptions options_;
  const http::Client client_;
  bool failed_ = false;
  BoundedQueue<RequestRecord> queue_;  // its thread uses what stands above
};

}  // namespace redoubt::telemetry
