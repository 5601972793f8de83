// SPDX-License-Identifier: Apache-2.0
//
// How one release answers: what its alarms look at while it is rolled out. By the steady clock, so that a clock that is moved neither
// raises an alarm nor hides one. Safe from several threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>

namespace redoubt::gateway {

class ReleaseMeter {
 public:
  // Of the last minute.
  struct Reading {
    std::uint64_t answers = 0, errors = 0, guard_hits = 0;
    double latency_p99_ms = 0;  // of the answers
  };

  void add_answer(double latency_ms);
  void add_error();  // of the engine or its workers, never of the client
  void add_guard_hit();
  Reading read() const;

 private:
  enum class Kind { answer, error, guard_hit };
  struct Event {
    std::chrono::steady_clock::time_point time;
    Kind kind;
    double latency_ms;
  };
  void add(Kind kind, double latency_ms);

  mutable std::mutex mutex_;
  std::deque<Event> events_;
};

}  // namespace redoubt::gateway
