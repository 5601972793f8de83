// SPDX-License-Identifier: Apache-2.0
//
// Pairs of answers for direct preference optimisation (DPO, arXiv 2305.18290), and its loss.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "engine/evaluate/inputs.h"

namespace redoubt::engine::train {

// Rows {"prompt", "chosen", "rejected"}: three texts, or three lists of messages of which the answers hold one of the assistant.
// Answers: two examples a row, the chosen one first. As TRL reads them, an end-of-sequence token ends each text. An example
// that is longer than max_length is refused: of a pair that is cut off nothing can be learnt.
Result<std::vector<data::Example>> load_preferences(const std::filesystem::path& file, const evaluate::Inputs& inputs,
                                                    std::int64_t max_length);

struct PreferenceLoss {
  double loss = 0;    // nats, summed over the pairs: -log sigmoid(beta * margin of log-likelihoods beyond the reference's)
  double margin = 0;  // beta times that margin, summed
  std::int64_t preferred = 0;  // pairs whose chosen answer gained more than the other
  std::vector<double> slopes;  // of the loss by the nats of each example
};
// `nats` and `reference` by example, chosen and rejected in turn.
PreferenceLoss preference_loss(std::span<const double> nats, std::span<const double> reference, double beta);

}  // namespace redoubt::engine::train
