// SPDX-License-Identifier: Apache-2.0
//
// How rows become examples: which tokens count, and what becomes of a row that is longer than the context. docs/data.md describes
// them for the user.
#pragma once

#include <string>
#include <vector>

#include "engine/job/job.h"

namespace redoubt::engine::data {

enum class LossOn {
  answer,   // the last answer of a row
  answers,  // every turn of the assistant
  all,      // every token that has a prediction
  marked,   // turns marked with "train": true, else what the chat template marks as generation
};

enum class OnTooLong {
  truncate,  // its end is cut off
  drop,      // the row is left out and counted
  refuse,    // the job ends and names the line
  windows,   // a text goes on in the next example, which begins with the last token before it; other rows are refused
};

struct DataOptions {
  std::int64_t max_length = 0;  // tokens of an example; 0: the model's context
  LossOn loss_on = LossOn::answer;
  OnTooLong on_too_long = OnTooLong::truncate;
};

// The hyperparameters that parse_data_options reads.
const std::vector<std::string>& data_option_names();
Result<DataOptions> parse_data_options(const job::Hyperparameters& values);

}  // namespace redoubt::engine::data
