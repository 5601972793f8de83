// SPDX-License-Identifier: Apache-2.0
#include "engine/train/options.h"

#include <cmath>

namespace redoubt::engine::train {
namespace {

const std::vector<std::string> kKnown = {"seed",
                                         "epochs",
                                         "batch_size",
                                         "learning_rate",
                                         "lr_scheduler",
                                         "warmup_ratio",
                                         "weight_decay",
                                         "max_grad_norm",
                                         "lora_r",
                                         "lora_alpha",
                                         "lora_dropout",
                                         "target_modules",
                                         "early_stopping_patience",
                                         "checkpoint_steps",
                                         "threads",
                                         "dtype"};

// A list of module names, or "all-linear" (an empty list).
Result<std::vector<std::string>> parse_targets(const job::Hyperparameters& values) {
  const auto value = TRY(values.value("target_modules"));
  if (!value || *value == "all-linear") return std::vector<std::string>();
  const auto bad = [] {
    return fail(ErrorCode::invalid_argument, "target_modules must be \"all-linear\" or a list of names", "target_modules");
  };
  if (!value->is_array() || value->empty()) return bad();
  std::vector<std::string> names;
  for (const auto& name : *value) {
    if (!name.is_string()) return bad();
    names.push_back(name.get<std::string>());
  }
  return names;
}

Schedule schedule_of(const std::string& name) {
  return name == "constant" ? Schedule::constant : name == "linear" ? Schedule::linear : Schedule::cosine;
}

}  // namespace

std::int64_t TrainOptions::warmup_steps(std::int64_t steps) const {
  return static_cast<std::int64_t>(std::ceil(static_cast<double>(steps) * warmup_ratio));
}

Result<TrainOptions> parse_options(const job::Hyperparameters& values) {
  auto known = kKnown;
  known.insert(known.end(), data::data_option_names().begin(), data::data_option_names().end());
  TRY(values.expect_only(known));
  TrainOptions o;
  o.seed = static_cast<std::uint64_t>(TRY(values.integer("seed", 42, 0, INT64_MAX)));
  o.epochs = TRY(values.integer("epochs", o.epochs, 1, 10000));
  o.batch_size = TRY(values.integer("batch_size", o.batch_size, 1, 65536));
  o.learning_rate = TRY(values.number("learning_rate", o.learning_rate, 0, 10));
  o.schedule = schedule_of(TRY(values.choice("lr_scheduler", "linear", {"constant", "linear", "cosine"})));
  o.warmup_ratio = TRY(values.number("warmup_ratio", 0, 0, 1));
  o.adamw.weight_decay = TRY(values.number("weight_decay", 0, 0, 10));
  o.max_grad_norm = TRY(values.number("max_grad_norm", o.max_grad_norm, 0, 1e9));
  o.lora.rank = TRY(values.integer("lora_r", o.lora.rank, 1, 1024));
  o.lora.alpha = TRY(values.number("lora_alpha", o.lora.alpha, 0, 1e6));
  o.lora.targets = TRY(parse_targets(values));
  o.lora.dropout = TRY(values.number("lora_dropout", 0, 0, 0.99));
  o.data = TRY(data::parse_data_options(values));
  o.early_stopping_patience = TRY(values.integer("early_stopping_patience", 0, 0, 10000));
  o.checkpoint_steps = TRY(values.integer("checkpoint_steps", 0, 0, INT32_MAX));
  o.threads = TRY(values.integer("threads", 0, 0, 1024));
  o.precision =
      TRY(values.choice("dtype", "bf16", {"bf16", "fp32"})) == "bf16" ? model::Precision::bf16 : model::Precision::fp32;
  return o;
}

Json identity_of(const TrainOptions& o) {
  return {{"seed", o.seed},
          {"epochs", o.epochs},
          {"batch_size", o.batch_size},
          {"learning_rate", o.learning_rate},
          {"schedule", static_cast<int>(o.schedule)},
          {"warmup_ratio", o.warmup_ratio},
          {"weight_decay", o.adamw.weight_decay},
          {"max_grad_norm", o.max_grad_norm},
          {"lora_r", o.lora.rank},
          {"lora_alpha", o.lora.alpha},
          {"lora_dropout", o.lora.dropout},
          {"target_modules", o.lora.targets},
          {"early_stopping_patience", o.early_stopping_patience},
          {"dtype", o.precision == model::Precision::bf16 ? "bf16" : "fp32"}};
}

}  // namespace redoubt::engine::train
