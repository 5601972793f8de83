// SPDX-License-Identifier: Apache-2.0
//
// Alarms that are evaluated here, at each `put`, and kept by whoever makes them.
#pragma once

#include <functional>
#include <memory>

#include "provider/alarms.h"

namespace redoubt::provider::local {

class LocalAlarms final : public Alarms {
 public:
  struct Options {
    // What an earlier process saved: a list of Alarm::to_json; nothing before the first.
    std::function<Result<std::optional<Json>>()> load;
    std::function<Status(const Json&)> save;  // durably; called when something changed
  };
  static Result<std::unique_ptr<LocalAlarms>> create(Options options, const Clock& clock);

  Status define(const std::vector<AlarmRule>& rules) override;
  Status put(const Measurements& measurements) override;
  Result<std::vector<Alarm>> read() override { return alarms_; }

 private:
  LocalAlarms(Options options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
  Status save();
  const Options options_;
  const Clock& clock_;
  std::vector<Alarm> alarms_;
  Json saved_;
};

}  // namespace redoubt::provider::local
