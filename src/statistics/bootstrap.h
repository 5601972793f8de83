// SPDX-License-Identifier: Apache-2.0
//
// How sure a number is that was measured on some examples: resampling them (Efron's bootstrap, percentile intervals) and, for
// two models on the same examples, resampling pairs and flipping signs. Everything follows from the seed, on every machine.
#pragma once

#include <functional>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "base/result.h"

namespace redoubt::statistics {

struct Interval {
  double low = 0, high = 0;
};

struct BootstrapOptions {
  std::int64_t resamples = 1000;
  double confidence = 0.95;  // above 0, below 1
  std::uint64_t seed = 42;
};

// What a metric is made of: a row of numbers an example, whose sums over the examples give the metric (the loss is nats over
// tokens; a mean is values over ones).
struct Sums {
  std::size_t width = 1;
  std::vector<double> values;  // row after row

  std::size_t examples() const { return values.size() / width; }
  std::span<const double> row(std::size_t i) const { return std::span(values).subspan(i * width, width); }
  std::vector<double> total() const;
};

using Statistic = std::function<double(std::span<const double>)>;

// The percentile interval of `statistic` over resampled examples. Nothing where there are fewer than two examples or the
// statistic of all of them is no finite number.
std::optional<Interval> bootstrap(const Sums& sums, const Statistic& statistic, const BootstrapOptions& options);

// The share `q` (0 to 1) of sorted values, with linear interpolation between neighbours as NumPy's default.
double quantile(std::span<const double> sorted, double q);

// How likely differences at least as far from zero in the mean are if each one's sign were a coin's fall: Fisher's
// randomisation test of pairs, two-sided. Up to 16 differences are counted out exactly, more are drawn `resamples` times, and
// the observed signs count as one draw.
double sign_flip_p_value(std::span<const double> differences, const BootstrapOptions& options);

}  // namespace redoubt::statistics
