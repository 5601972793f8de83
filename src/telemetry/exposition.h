// SPDX-License-Identifier: Apache-2.0
//
// Prometheus' text format 0.0.4 as a reader meets it, as far as an endpoint of ours writes it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::telemetry {

struct Sample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};

// invalid_argument names the line.
Result<std::vector<Sample>> parse_exposition(std::string_view text);

// The samples at one moment.
class Exposition {
 public:
  explicit Exposition(std::vector<Sample> samples) : samples_(std::move(samples)) {}
  const std::vector<Sample>& samples() const { return samples_; }
  // The sum over all labels; 0 where there is none.
  double sum(std::string_view name) const;
  // The quantile of a histogram, of what came since `before` (null: of all), by linear interpolation within its bucket as Prometheus'
  // histogram_quantile has it; nothing where nothing came.
  std::optional<double> quantile(const std::string& name, double share, const Exposition* before) const;

 private:
  std::vector<Sample> samples_;
};

}  // namespace redoubt::telemetry
