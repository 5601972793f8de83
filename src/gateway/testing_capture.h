// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <mutex>
#include <vector>

#include "gateway/capture.h"

namespace redoubt::gateway::testing {

class MemoryCapture final : public CaptureSink {
 public:
  bool record(CaptureRecord record) override {
    if (is_full) return false;
    std::lock_guard lock(mutex);
    records.push_back(std::move(record));
    return true;
  }
  std::atomic<bool> is_full = false;
  std::mutex mutex;
  std::vector<CaptureRecord> records;
};

}  // namespace redoubt::gateway::testing
