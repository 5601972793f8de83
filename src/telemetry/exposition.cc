// SPDX-License-Identifier: Apache-2.0
#include "telemetry/exposition.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace redoubt::telemetry {
namespace {

constexpr std::size_t kLinesMax = 100'000;

tl::unexpected<Error> wrong(std::size_t line) { return fail(ErrorCode::invalid_argument, "not Prometheus' text format", "line " + std::to_string(line)); }

// From after '{' to after '}'.
bool read_labels(std::string_view& rest, std::map<std::string, std::string>& labels) {
  while (!rest.empty() && rest[0] != '}') {
    const auto equals = rest.find("=\"");
    if (equals == rest.npos) return false;
    auto& value = labels[std::string(rest.substr(0, equals))];
    rest.remove_prefix(equals + 2);
    while (!rest.empty() && rest[0] != '"') {
      if (rest[0] == '\\' && rest.size() > 1) rest.remove_prefix(1);
      value += rest[0];
      rest.remove_prefix(1);
    }
    if (rest.empty()) return false;
    rest.remove_prefix(1);
    if (!rest.empty() && rest[0] == ',') rest.remove_prefix(1);
  }
  if (rest.empty()) return false;
  rest.remove_prefix(1);
  return true;
}

double number_of(const std::string& text) { return text == "+Inf" ? std::numeric_limits<double>::infinity() : std::strtod(text.c_str(), nullptr); }

}  // namespace

Result<std::vector<Sample>> parse_exposition(std::string_view text) {
  std::vector<Sample> samples;
  for (std::size_t line = 1; !text.empty(); ++line) {
    const auto end = std::min(text.find('\n'), text.size());
    auto rest = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (rest.empty() || rest[0] == '#') continue;
    const auto name = rest.find_first_of("{ ");
    if (name == rest.npos || name == 0 || line > kLinesMax) return wrong(line);
    Sample sample;
    sample.name = rest.substr(0, name);
    const bool labelled = rest[name] == '{';
    rest.remove_prefix(name + 1);
    if (labelled && (!read_labels(rest, sample.labels) || rest.empty())) return wrong(line);
    const std::string value(rest.substr(rest.find_first_not_of(' ') == rest.npos ? rest.size() : rest.find_first_not_of(' ')));
    char* after = nullptr;
    sample.value = std::strtod(value.c_str(), &after);
    if (value.empty() || after == value.c_str()) return wrong(line);
    samples.push_back(std::move(sample));
  }
  return samples;
}

double Exposition::sum(std::string_view name) const {
  double total = 0;
  for (const auto& sample : samples_)
    if (sample.name == name) total += sample.value;
  return total;
}

std::optional<double> Exposition::quantile(const std::string& name, double share, const Exposition* before) const {
  std::map<double, double> counts;  // up to each bound
  const auto add = [&](const std::vector<Sample>& samples, double sign) {
    for (const auto& sample : samples)
      if (const auto bound = sample.labels.find("le"); sample.name == name + "_bucket" && bound != sample.labels.end()) counts[number_of(bound->second)] += sign * sample.value;
  };
  add(samples_, 1);
  if (before != nullptr) add(before->samples_, -1);
  if (counts.empty() || counts.rbegin()->second <= 0) return std::nullopt;
  const double rank = share * counts.rbegin()->second;
  double lower = 0, below = 0;
  for (const auto& [bound, count] : counts) {
    if (count >= rank && count > below) return std::isinf(bound) ? lower : lower + (bound - lower) * (rank - below) / (count - below);
    lower = bound;
    below = count;
  }
  return lower;
}

}  // namespace redoubt::telemetry
