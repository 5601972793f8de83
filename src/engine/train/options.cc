// SPDX-License-Identifier: Apache-2.0
#include "engine/train/options.h"

#include <cmath>

#include "engine/distributed/join.h"

namespace redoubt::engine::train {
namespace {

const std::vector<std::string> kKnown = {"method",
                                         "loss",
                                         "dpo_beta",
                                         "seed",
                                         "epochs",
                                         "batch_size",
                                         "gradient_accumulation_steps",
                                         "learning_rate",
                                         "lr_scheduler",
                                         "warmup_ratio",
                                         "warmup_steps",
                                         "weight_decay",
                                         "adam_beta1",
                                         "adam_beta2",
                                         "adam_epsilon",
                                         "max_grad_norm",
                                         "lora_r",
                                         "lora_alpha",
                                         "lora_dropout",
                                         "target_modules",
                                         "layers_to_transform",
                                         "rank_pattern",
                                         "alpha_pattern",
                                         "use_rslora",
                                         "use_dora",
                                         "init_lora_weights",
                                         "gradient_checkpointing",
                                         "pass_tokens_max",
                                         "early_stopping_patience",
                                         "checkpoint_steps",
                                         "threads",
                                         "dtype",
                                         "weights"};

constexpr std::int64_t kMaxLengthDefault = 512;

// The members of PEFT's configuration, in hyperparameters' clothes.
Result<model::LoraOptions> parse_lora(const job::Hyperparameters& values) {
  Json config;
  config["r"] = TRY(values.integer("lora_r", 16, 1, 1024));
  config["lora_alpha"] = TRY(values.number("lora_alpha", 32, 0, 1e6));
  config["lora_dropout"] = TRY(values.number("lora_dropout", 0, 0, 0.99));
  config["use_rslora"] = TRY(values.boolean("use_rslora", false));
  config["use_dora"] = TRY(values.boolean("use_dora", false));
  for (const char* key : {"target_modules", "layers_to_transform", "rank_pattern", "alpha_pattern"})
    if (const auto value = TRY(values.value(key))) config[key] = *value;
  if (auto& layers = config["layers_to_transform"]; layers.is_string()) layers = TRY(values.integer("layers_to_transform", 0, 0, INT32_MAX));
  auto options = TRY(model::parse_lora_options(config, "hyperparameters"));
  const Json init = TRY(values.value("init_lora_weights")).value_or(true);
  if (init != true && init != "true" && init != "gaussian")
    return fail(ErrorCode::unsupported, "init_lora_weights " + init.dump(), "hyperparameters", "use true or \"gaussian\"");
  options.gaussian = init == "gaussian";
  TRY(check_dropout(options, "hyperparameters"));
  return options;
}

Schedule schedule_of(const std::string& name) {
  return name == "constant" ? Schedule::constant : name == "linear" ? Schedule::linear : Schedule::cosine;
}

}  // namespace

std::int64_t TrainOptions::warmup_steps_of(std::int64_t steps) const {
  if (warmup_steps > 0) return warmup_steps;
  return static_cast<std::int64_t>(std::ceil(static_cast<double>(steps) * warmup_ratio));
}

Status check_dropout(const model::LoraOptions& options, const std::string& where) {
  if (!options.magnitude || options.dropout <= 0) return {};
  return fail(ErrorCode::unsupported, "use_dora together with lora_dropout", where,
              "leave one of them out: DoRA drops the base's input too, which is not computed here");
}

Result<TrainOptions> parse_options(const job::Hyperparameters& values) {
  auto known = kKnown;
  known.insert(known.end(), distributed::join_option_names().begin(), distributed::join_option_names().end());
  known.insert(known.end(), data::data_option_names().begin(), data::data_option_names().end());
  TRY(values.expect_only(known));
  TrainOptions o;
  o.method = TRY(values.choice("method", "lora", {"lora", "full"})) == "full" ? Method::full : Method::lora;
  o.loss = TRY(values.choice("loss", "answers", {"answers", "dpo"})) == "dpo" ? Loss::preference : Loss::answers;
  o.dpo_beta = TRY(values.number("dpo_beta", o.dpo_beta, 1e-6, 1e6));
  o.seed = static_cast<std::uint64_t>(TRY(values.integer("seed", static_cast<std::int64_t>(o.seed), 0, INT64_MAX)));
  o.epochs = TRY(values.integer("epochs", o.epochs, 1, 10000));
  o.batch_size = TRY(values.integer("batch_size", o.batch_size, 1, 65536));
  o.accumulation_steps = TRY(values.integer("gradient_accumulation_steps", 1, 1, 65536));
  o.learning_rate = TRY(values.number("learning_rate", o.learning_rate, 0, 10));
  o.schedule = schedule_of(TRY(values.choice("lr_scheduler", "linear", {"constant", "linear", "cosine"})));
  o.warmup_ratio = TRY(values.number("warmup_ratio", 0.05, 0, 1));
  o.warmup_steps = TRY(values.integer("warmup_steps", 0, 0, INT32_MAX));
  o.adamw.weight_decay = TRY(values.number("weight_decay", 0, 0, 10));
  o.adamw.beta1 = TRY(values.number("adam_beta1", o.adamw.beta1, 0, 0.9999999));
  o.adamw.beta2 = TRY(values.number("adam_beta2", o.adamw.beta2, 0, 0.9999999));
  o.adamw.epsilon = TRY(values.number("adam_epsilon", o.adamw.epsilon, 0, 1));
  o.max_grad_norm = TRY(values.number("max_grad_norm", o.max_grad_norm, 0, 1e9));
  o.lora = TRY(parse_lora(values));
  o.data = TRY(data::parse_data_options(values));
  if (!values.has("max_length")) o.data.max_length = kMaxLengthDefault;
  o.early_stopping_patience = TRY(values.integer("early_stopping_patience", 1, 0, 10000));
  o.checkpoint_steps = TRY(values.integer("checkpoint_steps", 40, 0, INT32_MAX));
  o.pass_rows_max = TRY(values.integer("pass_tokens_max", o.pass_rows_max, 1, 1 << 24));
  o.gradient_checkpointing = TRY(values.boolean("gradient_checkpointing", false));
  o.threads = TRY(values.integer("threads", 0, 0, 1024));
  o.precision =
      TRY(values.choice("dtype", "bf16", {"bf16", "fp32"})) == "bf16" ? model::Precision::bf16 : model::Precision::fp32;
  o.weights = TRY(model::parse_weight_format(TRY(values.choice("weights", "bf16", {"bf16", "int8", "int4"}))));
  if (o.method == Method::full && o.weights != model::WeightFormat::as_loaded)
    return fail(ErrorCode::unsupported, std::string("weights: ") + model::to_string(o.weights) + " together with method: full", "hyperparameters",
                "use method: lora, or leave weights out: rounded weights cannot be trained");
  return o;
}

Json identity_of(const TrainOptions& o) {
  return {{"method", static_cast<int>(o.method)},
          {"loss", static_cast<int>(o.loss)},
          {"dpo_beta", o.dpo_beta},
          {"seed", o.seed},
          {"epochs", o.epochs},
          {"batch_size", o.batch_size},
          {"learning_rate", o.learning_rate},
          {"schedule", static_cast<int>(o.schedule)},
          {"warmup_ratio", o.warmup_ratio},
          {"warmup_steps", o.warmup_steps},
          {"weight_decay", o.adamw.weight_decay},
          {"adam_beta1", o.adamw.beta1},
          {"adam_beta2", o.adamw.beta2},
          {"adam_epsilon", o.adamw.epsilon},
          {"max_grad_norm", o.max_grad_norm},
          {"lora_r", o.lora.rank},
          {"lora_alpha", o.lora.alpha},
          {"lora_dropout", o.lora.dropout},
          {"target_modules", o.lora.targets},
          {"target_pattern", o.lora.target_pattern},
          {"layers_to_transform", o.lora.layers},
          {"rank_pattern", o.lora.rank_pattern},
          {"alpha_pattern", o.lora.alpha_pattern},
          {"use_rslora", o.lora.stabilised},
          {"use_dora", o.lora.magnitude},
          {"gaussian", o.lora.gaussian},
          {"early_stopping_patience", o.early_stopping_patience},
          {"dtype", o.precision == model::Precision::bf16 ? "bf16" : "fp32"},
          {"weights", model::to_string(o.weights)}};
}

}  // namespace redoubt::engine::train
