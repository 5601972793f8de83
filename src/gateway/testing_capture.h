// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "gateway/capture.h"

namespace redoubt::gateway::testing {

class MemoryCapture final : public CaptureSink {
 public:
  struct Kept {
    std::string event_id;
    TimePoint time;
    std::string model, input, output;
    std::string line() const {
      std::string line;
      append_capture_line(line, {event_id, time, model, input, output});
      return line;
    }
  };
  bool record(const CaptureRecord& record) override {
    if (is_full) return false;
    std::lock_guard lock(mutex);
    records.push_back({std::string(record.event_id), record.time, std::string(record.model), std::string(record.input), std::string(record.output)});
    return true;
  }
  std::atomic<bool> is_full = false;
  std::mutex mutex;
  std::vector<Kept> records;
};

}  // namespace redoubt::gateway::testing
