// SPDX-License-Identifier: Apache-2.0
#include "stages/evaluate/gate.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>

namespace redoubt::stages::evaluate {
namespace {

// Whatever can't be read as a finite number is as bad as can be, so that a broken evaluation never passes.
double measured(const Json& evaluation, const char* metric, double worst) {
  const auto value = json_number(evaluation, metric, "evaluation");
  return value && std::isfinite(*value) ? *value : worst;
}

std::optional<double> optional_number(const Json& checked, const char* key) {
  if (!checked.contains(key) || checked[key].is_null()) return std::nullopt;
  return checked[key].get<double>();
}

template <class Thresholds>
auto optional_limits(Thresholds& t) {
  return std::array{std::pair{"word_perplexity_max", &t.word_perplexity_max}, std::pair{"byte_perplexity_max", &t.byte_perplexity_max},
                    std::pair{"bits_per_byte_max", &t.bits_per_byte_max},     std::pair{"acc_min", &t.acc_min},
                    std::pair{"acc_norm_min", &t.acc_norm_min},               std::pair{"exact_match_min", &t.exact_match_min},
                    std::pair{"rouge_l_min", &t.rouge_l_min},                 std::pair{"bleu_min", &t.bleu_min},
                    std::pair{"chrf_min", &t.chrf_min}};
}

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace

Result<Thresholds> Thresholds::from_json(const Json& checked) {
  Thresholds thresholds;
  thresholds.perplexity_max = TRY(json_number(checked, "perplexity_max", "thresholds"));
  thresholds.eval_loss_max = TRY(json_number(checked, "eval_loss_max", "thresholds"));
  thresholds.accuracy_min = TRY(json_number(checked, "accuracy_min", "thresholds"));
  thresholds.examples_min = TRY(json_integer(checked, "examples_min", "thresholds"));
  for (const auto& [name, limit] : optional_limits(thresholds)) *limit = optional_number(checked, name);
  const Json rule = json_or(checked, "not_worse_than", Json::object());
  if (!rule.empty()) thresholds.not_worse_than = TRY(NotWorseThan::from_json(rule));
  return thresholds;
}

Json Thresholds::to_json() const {
  Json out = {{"perplexity_max", perplexity_max}, {"eval_loss_max", eval_loss_max}, {"accuracy_min", accuracy_min}, {"examples_min", examples_min}};
  for (const auto& [name, limit] : optional_limits(*this))
    if (*limit) out[name] = **limit;
  if (not_worse_than) out["not_worse_than"] = not_worse_than->to_json();
  return out;
}

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass: return "pass";
    case Verdict::fail: return "fail";
    case Verdict::undecided: return "undecided";
  }
  return "fail";
}

Json GateResult::to_json() const {
  Json list = Json::array();
  for (const auto& failure : failures) {
    list.push_back({{"metric", failure.metric}, {"value", number_or_null(failure.value)}, {"limit", failure.limit}});
  }
  return {{"gate", to_string(verdict)}, {"failures", std::move(list)}};
}

GateResult apply_gate(const Thresholds& thresholds, const Json& evaluation, const Comparison* comparison) {
  GateResult result;
  const auto examples = json_integer(evaluation, "examples", "evaluation").value_or(0);
  if (examples < thresholds.examples_min) {
    result.verdict = Verdict::undecided;
    result.explanation = fmt::format("{} held-out examples, {} are needed to decide", examples, thresholds.examples_min);
    return result;
  }
  constexpr double kWorst = std::numeric_limits<double>::infinity();
  const auto must_be_below = [&](const char* metric, std::optional<double> limit) {
    if (!limit) return;
    const double value = measured(evaluation, metric, kWorst);
    if (!(value < *limit)) result.failures.push_back({metric, value, *limit});
  };
  must_be_below("perplexity", thresholds.perplexity_max);
  must_be_below("eval_loss", thresholds.eval_loss_max);
  const auto must_reach = [&](const char* metric, std::optional<double> limit) {
    if (!limit) return;
    const double value = measured(evaluation, metric, -1);
    if (!(value >= *limit)) result.failures.push_back({metric, value, *limit});
  };
  const auto check_optional = [&](std::string_view ending, const auto& check) {
    for (const auto& [name, limit] : optional_limits(thresholds)) {
      const std::string_view key(name);
      if (key.ends_with(ending)) check(std::string(key.substr(0, key.size() - ending.size())).c_str(), *limit);
    }
  };
  check_optional("_max", must_be_below);
  must_reach("accuracy", thresholds.accuracy_min);
  check_optional("_min", must_reach);
  if (comparison != nullptr && comparison->standing == Standing::worse)
    result.failures.push_back({comparison->rule.metric + "_worse_by", comparison->worse_by, comparison->rule.margin});
  result.verdict = result.failures.empty() ? Verdict::pass : Verdict::fail;
  if (result.failures.empty()) {
    result.explanation = "every threshold is met";
    if (comparison == nullptr) return result;
    if (comparison->standing == Standing::undecided) result.verdict = Verdict::undecided;
    result.explanation += "; " + comparison->explanation();
    return result;
  }
  for (const auto& failure : result.failures) {
    result.explanation += fmt::format("{}{} is {:.4g}, the limit is {:.4g}", result.explanation.empty() ? "" : "; ", failure.metric,
                                      failure.value, failure.limit);
  }
  return result;
}

}  // namespace redoubt::stages::evaluate
