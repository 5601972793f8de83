// SPDX-License-Identifier: Apache-2.0
//
// Two models on the same examples: whether one is worse than the other, and how sure that is. The examples' lines are those of an
// evaluation's per_example.jsonl, paired by their place.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "statistics/bootstrap.h"

namespace redoubt::stages::evaluate {

// not_worse_than of config/thresholds.yaml.
struct NotWorseThan {
  std::string metric = "eval_loss";  // or accuracy, acc, acc_norm, acc_bytes, exact_match, rouge_l
  double margin = 0;                 // by how much it may be worse, in the metric's unit
  double confidence = 0.95;          // of the interval that decides

  static Result<NotWorseThan> from_json(const Json& checked);
  Json to_json() const;
};

enum class Standing {
  not_worse,  // the whole interval is within the margin
  worse,      // the whole interval is beyond it
  undecided,  // the margin lies in it, or there are fewer than two examples
};

struct Comparison {
  NotWorseThan rule;
  std::uint64_t seed = 0;
  std::size_t examples = 0, wins = 0, losses = 0, ties = 0;  // pairs in which ours is better, worse, equal
  double ours = 0, theirs = 0;
  double worse_by = 0;  // by how much ours is worse; below 0 it is better
  std::optional<statistics::Interval> interval = {};  // of worse_by: paired bootstrap, percentiles
  double p_value = 1;   // sign-flip test of the pairs against no difference, two-sided
  Standing standing = Standing::undecided;

  // {"metric", "ours", "theirs", "worse_by", "interval", "p_value", "wins", "losses", "ties", "examples", "standing", ...}
  Json to_json() const;
  std::string explanation() const;  // one sentence for a person
};

// Both must be of the same rows in the same order, with the same tokens: invalid_argument names the first pair that is not. A
// metric that the lines lack is invalid_argument too. `ours_name` and `theirs_name` stand for the files in errors.
Result<Comparison> compare(std::string_view ours, std::string_view ours_name, std::string_view theirs, std::string_view theirs_name, const NotWorseThan& rule);

}  // namespace redoubt::stages::evaluate
