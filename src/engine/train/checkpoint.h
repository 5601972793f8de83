// SPDX-License-Identifier: Apache-2.0
//
// Where a training run stands, on disk (docs/formats/checkpoint.md): all that going on needs, so that a run that was killed
// ends with the same adapter, bit for bit.
#pragma once

#include <filesystem>
#include <optional>

#include "base/json.h"
#include "engine/torch.h"

namespace redoubt::engine::train {

struct RunState {
  Json identity;          // of the options, model and data that the run began with
  std::optional<std::int64_t> now = {};  // when the run began, seconds since 1970: the date of its chat template
  std::int64_t step = 0;  // steps done
  std::int64_t epochs_evaluated = 0;
  std::int64_t epochs_since_best = 0;
  std::optional<double> best_loss = {};
  std::int64_t best_epoch = 0;
  Json metrics = Json::array();                    // events so far
  at::Tensor values, first_moment, second_moment;  // fp32
  at::Tensor best_values;                          // fp32; undefined before the first evaluation
};

// The members that are no tensors, and back.
Json to_json(const RunState& state);
Result<RunState> parse_state(const Json& json, const std::string& where);

// Writes folder/checkpoint-<step>, which appears whole or not at all, then removes older ones.
Status write_checkpoint(const std::filesystem::path& folder, const RunState& state);

// When the run began whose newest checkpoint is there; nothing without one, or where it does not tell.
Result<std::optional<std::int64_t>> read_start(const std::filesystem::path& folder);

// The newest checkpoint, or nothing when there is none. One that cannot be read is an error; nothing older is tried, because
// a run must not silently lose work.
Result<std::optional<RunState>> read_newest_checkpoint(const std::filesystem::path& folder);

}  // namespace redoubt::engine::train
