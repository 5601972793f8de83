// SPDX-License-Identifier: Apache-2.0
//
// Drift of the prompts that an endpoint gets against those that its model was trained on: the population stability index
// (Siddiqi, "Credit Risk Scorecards", 2006) of a few features of the text, with a limit that knows how large both samples
// are. A fixed limit of 0.1 on a hundred rows raises a false alarm half of the time.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"

namespace redoubt::monitor {

// The features of one prompt: names are those of the violations.
struct Feature {
  const char* name;
  double (*measure)(std::string_view text);
};
const std::vector<Feature>& prompt_features();
// Their values in that order: all that has to be kept of a prompt.
using FeatureValues = std::vector<double>;
FeatureValues measure_features(std::string_view text);

// One feature of the baseline: bins by the deciles of its values, and how many rows fell into each.
struct FeatureBaseline {
  std::string name;
  std::vector<double> edges;               // inner edges, ascending; a value equal to an edge belongs to the bin above
  std::vector<std::uint64_t> counts;       // edges + 1 bins
  double mean = 0, standard_deviation = 0, minimum = 0, maximum = 0;
};

struct Baseline {
  std::uint64_t rows = 0;
  std::vector<FeatureBaseline> features;

  // SageMaker Model Monitor's statistics.json; the bins, whose outer ends are open, stand under "histogram".
  Json to_statistics() const;
  // Its constraints.json: each feature is there and never negative.
  Json to_constraints() const;
  // invalid_argument for one that could not tell drift: no rows or features, edges that are no ascending numbers, counts that
  // are not those of the rows.
  static Result<Baseline> from_statistics(const Json& statistics);
};

// undecided with fewer than 50 prompts.
Result<Baseline> make_baseline(const std::vector<FeatureValues>& prompts);
Result<Baseline> make_baseline(const std::vector<std::string>& texts);

struct DriftOptions {
  std::uint64_t rows_min = 200;   // fewer prompts leave it undecided
  double psi_floor = 0.2;         // nats; the limit is never below it
  double confidence = 0.999;      // of the chi-squared quantile
};

struct FeatureDrift {
  std::string name;
  double psi = 0, limit = 0;  // nats (natural logarithm)
  bool violated() const { return psi > limit; }
};

struct DriftReport {
  std::uint64_t rows = 0;
  std::vector<FeatureDrift> features;
  bool violated() const;
  double worst() const;  // the largest ratio of an index to its limit; above 1 where violated
  // An array of name, psi, limit, violated.
  Json features_to_json() const;
  // SageMaker Model Monitor's constraint_violations.json.
  Json to_violations() const;
};

// undecided with fewer than rows_min prompts or an empty baseline.
Result<DriftReport> measure_drift(const Baseline& baseline, const std::vector<FeatureValues>& prompts, const DriftOptions& options = {});
Result<DriftReport> measure_drift(const Baseline& baseline, const std::vector<std::string>& texts, const DriftOptions& options = {});

// The index over two histograms of equal bins, in nats; each empty bin counts as half a row, so that it stays finite.
double population_stability_index(const std::vector<std::uint64_t>& expected, const std::vector<std::uint64_t>& actual);
// max(floor, chi-squared quantile at bins - 1 degrees of freedom * (1/expected_rows + 1/actual_rows)): under no drift the index
// is about chi-squared so scaled (Yurdakul, "Statistical Properties of Population Stability Index", 2018).
double psi_limit(std::size_t bins, std::uint64_t expected_rows, std::uint64_t actual_rows, const DriftOptions& options);
// The value below which a chi-squared variable lies with that probability; relative error under 1e-9.
double chi_squared_quantile(double probability, double degrees_of_freedom);

}  // namespace redoubt::monitor
