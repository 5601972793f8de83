// SPDX-License-Identifier: Apache-2.0
#include "stages/evaluate/compare.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "base/stream.h"
#include "rows/lines.h"

namespace redoubt::stages::evaluate {
namespace {

constexpr std::uint64_t kLineBytesMax = 1 << 20;
constexpr std::int64_t kResamples = 10'000;
constexpr std::uint64_t kSeed = 42;

bool is_of_tokens(std::string_view metric) { return metric == "eval_loss" || metric == "accuracy"; }
bool is_better_lower(std::string_view metric) { return metric == "eval_loss"; }

class PerExample {
 public:
  PerExample(std::string_view text, std::string_view name) : source_(view_of(text)), lines_(source_, kLineBytesMax), name_(name) {}

  Result<std::optional<Json>> next() {
    while (const auto line = TRY(lines_.next())) {
      where_ = fmt::format("{}: line {}", name_, line->number);
      if (line->left_out > 0) return fail(ErrorCode::limit_exceeded, "a line that is too long", where_);
      if (!rows::is_blank(line->text)) return std::optional(TRY(parse_json(line->text, where_)));
    }
    return std::nullopt;
  }
  const std::string& where() const { return where_; }

 private:
  MemorySource source_;
  rows::LineReader lines_;
  std::string_view name_;
  std::string where_;
};

struct Value {
  double sum = 0, weight = 1;  // the metric is the sums' quotient
};

Result<std::optional<Value>> value_of(const Json& line, const std::string& metric, const std::string& where) {
  if (is_of_tokens(metric)) {
    const double tokens = TRY(json_number(line, "tokens", where));
    const double sum = metric == "eval_loss" ? -TRY(json_number(line, "log_likelihood", where)) : TRY(json_number(line, "correct", where));
    if (!(tokens > 0) || !std::isfinite(sum)) return fail(ErrorCode::invalid_argument, "a score that is no number", where);
    return std::optional(Value{sum, tokens});
  }
  if (!line.is_object() || !line.contains(metric)) return std::optional<Value>();
  const double value = TRY(json_number(line, metric.c_str(), where));
  if (!std::isfinite(value)) return fail(ErrorCode::invalid_argument, "a score that is no number", where);
  return std::optional(Value{value, 1});
}

// Whether two lines are of one example.
Status check_pair(const Json& ours, const Json& theirs, const std::string& where) {
  for (const char* key : {"index", "example", "tokens"}) {
    const bool both = ours.is_object() && theirs.is_object() && ours.contains(key) && theirs.contains(key);
    if (!both || ours[key] == theirs[key]) continue;
    return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not the other evaluation's: these are other examples, or another tokenizer or chat template wrote them", key), where,
                "evaluate both models on the same file with the same options");
  }
  return {};
}

struct Pairs {
  statistics::Sums differences{.width = 2, .values = {}};  // by how much ours is worse, and the weight
  std::vector<double> alone;                               // the first of them
  Value ours{0, 0}, theirs{0, 0};

  void add(const Value& a, const Value& b, bool lower) {
    const double worse = lower ? a.sum - b.sum : b.sum - a.sum;
    differences.values.insert(differences.values.end(), {worse, a.weight});
    alone.push_back(worse);
    ours.sum += a.sum, ours.weight += a.weight;
    theirs.sum += b.sum, theirs.weight += b.weight;
  }
};

Result<Pairs> read_pairs(PerExample& ours, PerExample& theirs, std::string_view theirs_name, const std::string& metric) {
  Pairs pairs;
  while (true) {
    const auto a = TRY(ours.next()), b = TRY(theirs.next());
    if (!a && !b) return pairs;
    if (!a || !b) return fail(ErrorCode::invalid_argument, "the evaluations have different numbers of examples", std::string(theirs_name), "evaluate both models on the same file");
    TRY(check_pair(*a, *b, theirs.where()));
    const auto left = TRY(value_of(*a, metric, ours.where())), right = TRY(value_of(*b, metric, theirs.where()));
    if (left && right) pairs.add(*left, *right, is_better_lower(metric));
    else if (left || right) return fail(ErrorCode::invalid_argument, fmt::format("'{}' is measured in one evaluation and not in the other", metric), theirs.where(), "evaluate both with the same options");
  }
}

Standing standing_of(const std::optional<statistics::Interval>& interval, double margin) {
  if (!interval) return Standing::undecided;
  if (interval->high <= margin) return Standing::not_worse;
  return interval->low > margin ? Standing::worse : Standing::undecided;
}

const char* to_string(Standing standing) {
  return standing == Standing::not_worse ? "not_worse" : standing == Standing::worse ? "worse" : "undecided";
}

}  // namespace

Result<NotWorseThan> NotWorseThan::from_json(const Json& checked) {
  NotWorseThan rule;
  rule.metric = TRY(json_string(checked, "metric", "not_worse_than"));
  rule.margin = TRY(json_number(checked, "margin", "not_worse_than"));
  rule.confidence = TRY(json_number(checked, "confidence", "not_worse_than"));
  return rule;
}

Json NotWorseThan::to_json() const { return {{"metric", metric}, {"margin", margin}, {"confidence", confidence}}; }

Json Comparison::to_json() const {
  Json out = rule.to_json();
  out.update({{"examples", examples}, {"ours", ours}, {"theirs", theirs}, {"worse_by", worse_by}, {"p_value", p_value}, {"wins", wins}, {"losses", losses}, {"ties", ties},
              {"resamples", kResamples}, {"seed", seed}, {"standing", to_string(standing)}, {"interval", nullptr}});
  if (interval) out["interval"] = {interval->low, interval->high};
  return out;
}

std::string Comparison::explanation() const {
  if (!interval) return fmt::format("{} examples are too few to compare", examples);
  const std::string sure = fmt::format("{} is {:.4g} against {:.4g}: worse by {:.4g}, {:.4g} to {:.4g} at {:g} %", rule.metric, ours, theirs, worse_by, interval->low, interval->high, rule.confidence * 100);
  if (standing == Standing::not_worse) return fmt::format("{}, within the margin of {:g}", sure, rule.margin);
  if (standing == Standing::worse) return fmt::format("{}, beyond the margin of {:g}", sure, rule.margin);
  return fmt::format("{}, which does not decide on a margin of {:g}: more examples are needed", sure, rule.margin);
}

Result<Comparison> compare(std::string_view ours, std::string_view ours_name, std::string_view theirs, std::string_view theirs_name, const NotWorseThan& rule) {
  PerExample left(ours, ours_name), right(theirs, theirs_name);
  const auto pairs = TRY(read_pairs(left, right, theirs_name, rule.metric));
  if (pairs.alone.empty()) {
    return fail(ErrorCode::invalid_argument, fmt::format("no example has '{}'", rule.metric), std::string(ours_name),
                "exact_match and rouge_l need --generate, acc needs rows with choices");
  }
  Comparison result{.rule = rule, .seed = kSeed, .examples = pairs.alone.size()};
  result.ours = pairs.ours.sum / pairs.ours.weight;
  result.theirs = pairs.theirs.sum / pairs.theirs.weight;
  for (const double worse : pairs.alone) ++(worse < 0 ? result.wins : worse > 0 ? result.losses : result.ties);
  const auto quotient = [](std::span<const double> sums) { return sums[0] / sums[1]; };
  result.worse_by = quotient(pairs.differences.total());
  const statistics::BootstrapOptions options{.resamples = kResamples, .confidence = rule.confidence, .seed = kSeed};
  result.interval = statistics::bootstrap(pairs.differences, quotient, options);
  result.p_value = statistics::sign_flip_p_value(pairs.alone, options);
  result.standing = standing_of(result.interval, rule.margin);
  return result;
}

}  // namespace redoubt::stages::evaluate
