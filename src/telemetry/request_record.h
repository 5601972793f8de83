// SPDX-License-Identifier: Apache-2.0
//
// What is told of one request once it is answered: who, what, how long, how many tokens. Never a prompt, an answer, a key or a path of the
// client's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "telemetry/answer_times.h"
#include "telemetry/trace_context.h"

namespace redoubt::telemetry {

struct RequestRecord {
  std::string id;      // that the answer names in X-Request-Id: the span's
  std::string method;
  std::string_view route;  // the route table's pattern, which stays
  std::string key_id, tenant;
  std::string model;   // "name/version" or an adapter's name; empty where none was asked
  std::string operation;  // "chat" or "text_completion" of a generation
  int status = 0;
  std::string finish_reason;
  std::int64_t prompt_tokens = 0, completion_tokens = 0, reused_tokens = 0;
  TimePoint begun{}, ended{};
  std::int64_t first_token_ms = -1;  // from the beginning; -1: none came
  std::optional<AnswerTimes> times = {};  // of an answer that came to its end
  TimePoint answered{};                   // when the last worker's last line was there
  TraceContext trace;        // the span of this request
  std::string parent_span;   // that the client named; empty: none
};

// Hears of every answered request.
class RequestSink {
 public:
  virtual ~RequestSink() = default;
  // Never blocks.
  virtual void tell(const RequestRecord& record) = 0;
};

// One request until its end, which is told once: by `end`, or when the last of its owners goes. One thread at a time.
class Observation {
 public:
  using Sinks = std::vector<std::shared_ptr<RequestSink>>;
  // `intervals` measures how long it takes, so that its end is never before its beginning.
  Observation(RequestRecord what, Sinks sinks, const Clock& intervals) : record(std::move(what)), sinks_(std::move(sinks)), intervals_(intervals), begun_(intervals.now()) {}
  ~Observation() { end(500); }
  Observation(const Observation&) = delete;
  Observation& operator=(const Observation&) = delete;

  RequestRecord record;
  void answered(const AnswerTimes& times) {
    record.times = times;
    record.answered = now();
  }
  void end(int status) {
    if (ended_) return;
    ended_ = true;
    record.status = status;
    record.ended = now();
    for (const auto& sink : sinks_) sink->tell(record);
  }

 private:
  TimePoint now() const { return record.begun + (intervals_.now() - begun_); }

  const Sinks sinks_;
  const Clock& intervals_;
  const TimePoint begun_;
  bool ended_ = false;
};

}  // namespace redoubt::telemetry
