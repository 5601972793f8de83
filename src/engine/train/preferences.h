// SPDX-License-Identifier: Apache-2.0
//
// Pairs of answers for direct preference optimisation (DPO, arXiv 2305.18290), and its loss.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "engine/evaluate/inputs.h"

namespace redoubt::engine::train {

// The rows of a channel, all of them preferences (rows/row.h), as two examples each, the chosen one first. As TRL reads them, an
// end-of-sequence token ends each text, and both answers count from where the first of them leaves the prompt's own tokens. A pair of
// which either answer is longer than max_length is treated as on_too_long says, and
// counted: truncate cuts each at its end, drop leaves both out. invalid_argument, by its line, for a pair that has nothing to tell
// apart, before or after it is cut; nothing of `loss_on` matters here.
Result<data::Examples> load_preferences(const job::Paths& paths, std::string_view channel, const evaluate::Inputs& inputs, const data::DataOptions& options);

struct PreferenceLoss {
  double loss = 0;    // nats, summed over the pairs: -log sigmoid(beta * margin of log-likelihoods beyond the reference's)
  double margin = 0;  // beta times that margin, summed
  std::int64_t preferred = 0;  // pairs whose chosen answer gained more than the other
  std::vector<double> slopes;  // of the loss by the nats of each example
};
// `nats` and `reference` by example, chosen and rejected in turn.
PreferenceLoss preference_loss(std::span<const double> nats, std::span<const double> reference, double beta);

}  // namespace redoubt::engine::train
