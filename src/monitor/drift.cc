// SPDX-License-Identifier: Apache-2.0
#include "monitor/drift.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/check.h"

namespace redoubt::monitor {
namespace {

constexpr std::size_t kBaselineRowsMin = 50;
constexpr int kBins = 10;

std::size_t bin_of(const std::vector<double>& edges, double value) {
  return static_cast<std::size_t>(std::upper_bound(edges.begin(), edges.end(), value) - edges.begin());
}

template <class Predicate>
double share(std::string_view text, Predicate predicate) {
  if (text.empty()) return 0;
  return static_cast<double>(std::count_if(text.begin(), text.end(), predicate)) / static_cast<double>(text.size());
}

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

double words(std::string_view text) {
  int count = 0;
  bool inside = false;
  for (char c : text) {
    if (!is_space(c) && !inside) ++count;
    inside = !is_space(c);
  }
  return count;
}

double characters(std::string_view text) {
  return static_cast<double>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

double mean_word_length(std::string_view text) {
  const double count = words(text);
  return count == 0 ? 0 : static_cast<double>(std::count_if(text.begin(), text.end(), [](char c) { return !is_space(c); })) / count;
}

FeatureBaseline measure_feature(std::size_t index, const std::vector<FeatureValues>& prompts) {
  std::vector<double> values;
  for (const auto& prompt : prompts) values.push_back(prompt[index]);
  std::sort(values.begin(), values.end());
  FeatureBaseline baseline;
  baseline.name = prompt_features()[index].name;
  std::set<double> edges;  // a feature with few values has fewer bins
  for (int i = 1; i < kBins; ++i) edges.insert(values[values.size() * static_cast<std::size_t>(i) / kBins]);
  edges.erase(values.front());  // nothing would lie below it
  baseline.edges.assign(edges.begin(), edges.end());
  baseline.counts.assign(baseline.edges.size() + 1, 0);
  for (double value : values) ++baseline.counts[bin_of(baseline.edges, value)];
  const double n = static_cast<double>(values.size());
  baseline.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (double value : values) squares += (value - baseline.mean) * (value - baseline.mean);
  baseline.standard_deviation = std::sqrt(squares / n);
  baseline.minimum = values.front();
  baseline.maximum = values.back();
  return baseline;
}

std::vector<FeatureValues> features_of(const std::vector<std::string>& texts) {
  std::vector<FeatureValues> prompts;
  for (const auto& text : texts) prompts.push_back(measure_features(text));
  return prompts;
}

// The bins as Model Monitor draws them, closed at both ends by the extremes.
Json buckets_of(const FeatureBaseline& feature) {
  Json buckets = Json::array();
  for (std::size_t bin = 0; bin < feature.counts.size(); ++bin) {
    const double lower = bin == 0 ? feature.minimum : feature.edges[bin - 1], upper = bin == feature.edges.size() ? feature.maximum : feature.edges[bin];
    buckets.push_back({{"lower_bound", lower}, {"upper_bound", upper}, {"count", feature.counts[bin]}});
  }
  return buckets;
}

constexpr const char* kStatistics = "statistics.json";

tl::unexpected<Error> wrong_statistics(const std::string& what) {
  return fail(ErrorCode::invalid_argument, "the baseline can't be used: " + what, kStatistics, "make the baseline again from the training data");
}

Result<FeatureBaseline> read_feature(const Json& item, std::uint64_t rows) {
  FeatureBaseline feature;
  feature.name = TRY(json_string(item, "name", kStatistics));
  const Json histogram = TRY(json_object(item, "histogram", kStatistics));
  for (const auto& edge : TRY(json_array(histogram, "edges", kStatistics))) {
    const double value = edge.is_number() ? edge.get<double>() : NAN;
    if (!std::isfinite(value)) return wrong_statistics("an edge of '" + feature.name + "' is no number");
    if (!feature.edges.empty() && value <= feature.edges.back()) return wrong_statistics("the edges of '" + feature.name + "' do not ascend");
    feature.edges.push_back(value);
  }
  std::uint64_t total = 0;
  for (const auto& count : TRY(json_array(histogram, "counts", kStatistics))) {
    // Checked one by one against what is left, so that no sum of hostile counts wraps around.
    if (!count.is_number_unsigned() || count.get<std::uint64_t>() > rows - total) return wrong_statistics("the counts of '" + feature.name + "' are not those of its rows");
    feature.counts.push_back(count.get<std::uint64_t>());
    total += feature.counts.back();
  }
  if (total != rows) return wrong_statistics("the counts of '" + feature.name + "' are not those of its rows");
  if (feature.counts.size() != feature.edges.size() + 1) return wrong_statistics("'" + feature.name + "' has not one bin more than edges");
  return feature;
}

// Regularised lower incomplete gamma function: series below a + 1, continued fraction above (Numerical Recipes, section 6.2).
double lower_gamma(double a, double x) {
  if (x <= 0) return 0;
  const double scale = std::exp(-x + a * std::log(x) - std::lgamma(a));
  if (x < a + 1) {
    double term = 1 / a, sum = term;
    for (double n = a + 1; std::abs(term) > std::abs(sum) * 1e-16; ++n) sum += term *= x / n;
    return sum * scale;
  }
  double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (int i = 1; i < 10'000; ++i) {
    const double an = -i * (i - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    h *= d * c;
    if (std::abs(d * c - 1) < 1e-16) break;
  }
  return 1 - scale * h;
}

}  // namespace

const std::vector<Feature>& prompt_features() {
  static const std::vector<Feature> features = {
      {"characters", characters},
      {"words", words},
      {"mean_word_length", mean_word_length},
      {"share_of_digits", [](std::string_view text) { return share(text, [](char c) { return c >= '0' && c <= '9'; }); }},
      {"share_of_punctuation",
       [](std::string_view text) { return share(text, [](char c) { return std::ispunct(static_cast<unsigned char>(c)) != 0; }); }},
      {"share_of_non_ascii", [](std::string_view text) { return share(text, [](char c) { return static_cast<unsigned char>(c) > 0x7f; }); }},
  };
  return features;
}

FeatureValues measure_features(std::string_view text) {
  FeatureValues values;
  for (const auto& feature : prompt_features()) values.push_back(feature.measure(text));
  return values;
}

Result<Baseline> make_baseline(const std::vector<FeatureValues>& prompts) {
  if (prompts.size() < kBaselineRowsMin) {
    return fail(ErrorCode::undecided, fmt::format("{} prompts are too few for a baseline, {} are needed", prompts.size(), kBaselineRowsMin));
  }
  Baseline baseline;
  baseline.rows = prompts.size();
  for (std::size_t index = 0; index < prompt_features().size(); ++index) baseline.features.push_back(measure_feature(index, prompts));
  return baseline;
}
Result<Baseline> make_baseline(const std::vector<std::string>& texts) { return make_baseline(features_of(texts)); }

Json Baseline::to_statistics() const {
  Json list = Json::array();
  for (const auto& feature : features) {
    const Json common = {{"num_present", rows}, {"num_missing", 0}};
    list.push_back({{"name", feature.name},
                    {"inferred_type", "Fractional"},
                    {"numerical_statistics",
                     {{"common", common}, {"mean", feature.mean}, {"sum", feature.mean * static_cast<double>(rows)}, {"std_dev", feature.standard_deviation}, {"min", feature.minimum},
                      {"max", feature.maximum}, {"distribution", {{"kll", {{"buckets", buckets_of(feature)}}}}}}},
                    {"histogram", {{"edges", feature.edges}, {"counts", feature.counts}}}});
  }
  return {{"version", 0.0}, {"dataset", {{"item_count", rows}}}, {"features", std::move(list)}};
}

Json Baseline::to_constraints() const {
  Json list = Json::array();
  for (const auto& feature : features) {
    list.push_back({{"name", feature.name}, {"inferred_type", "Fractional"}, {"completeness", 1.0}, {"num_constraints", {{"is_non_negative", true}}}});
  }
  const Json comparison = {{"perform_comparison", "Enabled"}, {"comparison_threshold", DriftOptions().psi_floor}, {"comparison_method", "Robust"}};
  return {{"version", 0.0},
          {"features", std::move(list)},
          {"monitoring_config",
           {{"evaluate_constraints", "Enabled"}, {"emit_metrics", "Enabled"}, {"datatype_check_threshold", 1.0}, {"domain_content_threshold", 1.0}, {"distribution_constraints", comparison}}}};
}

Result<Baseline> Baseline::from_statistics(const Json& statistics) {
  Baseline baseline;
  const auto rows = TRY(json_integer(TRY(json_object(statistics, "dataset", kStatistics)), "item_count", kStatistics));
  if (rows < 1) return wrong_statistics("its data set has no rows");
  baseline.rows = static_cast<std::uint64_t>(rows);
  std::set<std::string> names;
  for (const auto& item : TRY(json_array(statistics, "features", kStatistics))) {
    auto feature = TRY(read_feature(item, baseline.rows));
    if (!names.insert(feature.name).second) return wrong_statistics("it has '" + feature.name + "' twice");
    baseline.features.push_back(std::move(feature));
  }
  if (baseline.features.empty()) return wrong_statistics("it has no features");
  return baseline;
}

bool DriftReport::violated() const {
  return std::any_of(features.begin(), features.end(), [](const FeatureDrift& feature) { return feature.violated(); });
}

double DriftReport::worst() const {
  double worst = 0;
  for (const auto& feature : features) worst = std::max(worst, feature.psi / feature.limit);
  return worst;
}

Json DriftReport::features_to_json() const {
  Json list = Json::array();
  for (const auto& feature : features) list.push_back({{"name", feature.name}, {"psi", feature.psi}, {"limit", feature.limit}, {"violated", feature.violated()}});
  return list;
}

Json DriftReport::to_violations() const {
  Json violations = Json::array();
  for (const auto& feature : features) {
    if (!feature.violated()) continue;
    violations.push_back({{"feature_name", feature.name},
                          {"constraint_check_type", "baseline_drift_check"},
                          {"description", fmt::format("population stability index {:.4f} nats is over the limit {:.4f} for {} rows", feature.psi, feature.limit, rows)}});
  }
  return {{"violations", std::move(violations)}};
}

Result<DriftReport> measure_drift(const Baseline& baseline, const std::vector<FeatureValues>& prompts, const DriftOptions& options) {
  if (prompts.size() < options.rows_min) {
    return fail(ErrorCode::undecided, fmt::format("{} captured prompts are too few to see drift, {} are needed", prompts.size(), options.rows_min), {},
                "ask again when the endpoint has answered more requests");
  }
  // Nothing to compare with is no proof that nothing changed.
  if (baseline.rows == 0 || baseline.features.empty()) return fail(ErrorCode::undecided, "the baseline is empty: drift can't be told from it", "baseline");
  DriftReport report;
  report.rows = prompts.size();
  for (const auto& expected : baseline.features) {
    const auto feature = std::find_if(prompt_features().begin(), prompt_features().end(), [&](const Feature& f) { return f.name == expected.name; });
    if (expected.counts.size() != expected.edges.size() + 1) return fail(ErrorCode::invalid_argument, "the baseline's bins do not fit its edges", expected.name);
    if (feature == prompt_features().end()) return fail(ErrorCode::unsupported, "the baseline has a feature that this program does not measure", expected.name);
    const auto index = static_cast<std::size_t>(feature - prompt_features().begin());
    std::vector<std::uint64_t> counts(expected.counts.size(), 0);
    for (const auto& prompt : prompts) ++counts[bin_of(expected.edges, prompt[index])];
    report.features.push_back({expected.name, population_stability_index(expected.counts, counts), psi_limit(counts.size(), baseline.rows, report.rows, options)});
  }
  return report;
}

Result<DriftReport> measure_drift(const Baseline& baseline, const std::vector<std::string>& texts, const DriftOptions& options) {
  return measure_drift(baseline, features_of(texts), options);
}

double population_stability_index(const std::vector<std::uint64_t>& expected, const std::vector<std::uint64_t>& actual) {
  CHECK(expected.size() == actual.size());
  const auto shares = [](const std::vector<std::uint64_t>& counts) {
    std::vector<double> out;
    for (auto count : counts) out.push_back(count == 0 ? 0.5 : static_cast<double>(count));
    const double total = std::accumulate(out.begin(), out.end(), 0.0);
    for (double& value : out) value /= total;
    return out;
  };
  const auto p = shares(expected), q = shares(actual);
  double index = 0;
  for (std::size_t i = 0; i < p.size(); ++i) index += (q[i] - p[i]) * std::log(q[i] / p[i]);
  return index;
}

double psi_limit(std::size_t bins, std::uint64_t expected_rows, std::uint64_t actual_rows, const DriftOptions& options) {
  if (bins < 2) return options.psi_floor;
  const double scale = 1 / static_cast<double>(expected_rows) + 1 / static_cast<double>(actual_rows);
  return std::max(options.psi_floor, chi_squared_quantile(options.confidence, static_cast<double>(bins - 1)) * scale);
}

double chi_squared_quantile(double probability, double degrees_of_freedom) {
  CHECK(probability > 0 && probability < 1 && degrees_of_freedom > 0);
  double low = 0, high = degrees_of_freedom + 10;
  while (lower_gamma(degrees_of_freedom / 2, high / 2) < probability) high *= 2;
  for (int i = 0; i < 200; ++i) {
    const double middle = (low + high) / 2;
    (lower_gamma(degrees_of_freedom / 2, middle / 2) < probability ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace redoubt::monitor
