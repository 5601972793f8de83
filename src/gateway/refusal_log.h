// SPDX-License-Identifier: Apache-2.0
//
// Every refusal is told to the audit trail, but counted by source and reason between two looks, so that 100,000 wrong keys are one entry
// and not 100,000.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"

namespace redoubt::gateway {

struct RefusalCount {
  std::string source, reason;
  std::uint64_t count = 0;
  TimePoint first{}, last{};
};

// Safe from several threads; never blocks for long.
class RefusalLog {
 public:
  explicit RefusalLog(const Clock& clock, std::size_t entries_max = 256) : clock_(clock), entries_max_(entries_max) {}
  void add(const std::string& source, const std::string& reason);
  // What was refused since the last call. Beyond `entries_max` different ones the rest are counted together, with the source "others".
  std::vector<RefusalCount> take();
  // What was taken and could not be told: it counts at the next call.
  void put_back(std::vector<RefusalCount> counts);

 private:
  RefusalCount& count_of(const std::string& source, const std::string& reason, TimePoint now);

  const Clock& clock_;
  const std::size_t entries_max_;
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, RefusalCount> counts_;
};

}  // namespace redoubt::gateway
