// SPDX-License-Identifier: Apache-2.0
//
// A training job's hyperparameters, named as in PEFT and Transformers.
#pragma once

#include "engine/data/options.h"
#include "engine/job/job.h"
#include "engine/model/lora.h"
#include "engine/train/optimizer.h"

namespace redoubt::engine::train {

enum class Method { lora, full };
enum class Loss {
  answers,     // the mean over the answer tokens
  preference,  // DPO's over pairs of answers
};

struct TrainOptions {
  Method method = Method::lora;
  Loss loss = Loss::answers;
  double dpo_beta = 0.1;  // how far a preference may pull the model from its reference
  std::uint64_t seed = 7;  // of the adapter's start, the order of the examples and dropout
  std::int64_t epochs = 4;
  std::int64_t batch_size = 8;          // examples whose gradient one process computes together
  std::int64_t accumulation_steps = 1;  // batches of each process in one step: a step has batch_size * this * ranks examples
  double learning_rate = 5e-4;          // the highest
  Schedule schedule = Schedule::linear;
  double warmup_ratio = 0;        // share of the steps in which the rate rises from 0
  std::int64_t warmup_steps = 0;  // their number; above 0 it counts instead of the ratio
  double max_grad_norm = 1;       // 0: not clipped
  AdamWOptions adamw = {};
  model::LoraOptions lora = {};
  data::DataOptions data = {};               // which tokens count, how long an example may be
  std::int64_t early_stopping_patience = 0;  // epochs without a better eval loss before the end; 0: never
  std::int64_t checkpoint_steps = 0;         // steps between checkpoints within an epoch; 0: after each epoch only
  model::Precision precision = model::Precision::bf16;
  model::WeightFormat weights = model::WeightFormat::as_loaded;  // of the base beside an adapter (QLoRA, arXiv 2305.14314)
  std::int64_t threads = 0;           // 0: all
  std::int64_t pass_rows_max = 2048;  // computed at once; a larger batch goes in several passes
  // Keeps the layers' inputs alone and computes each layer a second time on the way back; longer passes than the above (one
  // long example) always do.
  bool gradient_checkpointing = false;

  std::size_t processes_here = 1;  // that share this machine's memory

  // Examples that go together: a pair of answers is two.
  std::int64_t group_size() const { return loss == Loss::preference ? 2 : 1; }
  std::int64_t warmup_steps_of(std::int64_t steps) const;
};

// Unknown names and values out of range are invalid_argument.
Result<TrainOptions> parse_options(const job::Hyperparameters& values);

// unsupported for an adapter with magnitudes whose input is dropped in training.
Status check_dropout(const model::LoraOptions& options, const std::string& where);

// What must be equal for a run to go on from another's checkpoint.
Json identity_of(const TrainOptions& options);

}  // namespace redoubt::engine::train
