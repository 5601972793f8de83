// SPDX-License-Identifier: Apache-2.0
//
// The engine's model for tests in other languages: model_tool [MODEL_FOLDER bf16|fp32 [ADAPTER_FOLDER]]. One JSON object a
// line on standard input, one JSON value a line out:
// - {"open": FOLDER, "dtype": D, "adapter": FOLDER?, "packed": BOOL?} goes on with another model, laid out as for generation
//   or as loaded; null, or {"error", "where", "hint"}
// - {"ids", "logits": FILE} writes the fp32 logits of every position, row by row, as evaluation computes them; "batch", a
//   list of ids, in place of "ids": the examples laid end to end
// - {"ids", "greedy": N} answers N tokens over a key-value cache, as generation does; with "batch", the sequences are
// decoded
//   together, and "prefix" tokens of each are cached, cut off and computed again first
// - {"train": FOLDER, "examples": [{"ids", "answer_start"}], "steps", "rate", "lora": {"r", "alpha", "targets"}} trains an
//   adapter, all examples a step; writes it to FOLDER/adapter, its start to FOLDER/start, and answers the loss of each step;
//   with "full": MODEL_FOLDER in place of "lora", all weights of the model, written to FOLDER/model
#include <algorithm>
#include <iostream>

#include "base/file.h"
#include "base/json.h"
#include "engine/model/causal_model.h"
#include "engine/model/lora.h"
#include "engine/train/trainer.h"

using namespace redoubt;
using namespace redoubt::engine;

namespace {

using Ids = std::vector<std::int32_t>;

struct Loaded {
  std::unique_ptr<model::CausalModel> base;
  std::optional<model::LoraWeights> lora;
  const model::LoraWeights* adapter() const { return lora ? &*lora : nullptr; }
};

Result<Loaded> load(const std::string& folder, const std::string& dtype, const std::string& adapter_folder) {
  Loaded loaded;
  const auto precision = dtype == "bf16" ? model::Precision::bf16 : model::Precision::fp32;
  loaded.base = TRY(model::CausalModel::load(folder, precision));
  if (!adapter_folder.empty()) {
    const auto adapter = TRY(model::Adapter::load(adapter_folder, loaded.base->config(), &loaded.base->weights()));
    adapter.write_working(loaded.lora.emplace(), precision);
  }
  return loaded;
}

std::vector<Ids> batch_of(const Json& task) {
  if (task.contains("batch")) return task["batch"].get<std::vector<Ids>>();
  return {task.at("ids").get<Ids>()};
}

Result<Json> write_logits(const Loaded& loaded, const std::vector<Ids>& batch, const std::string& file) {
  const std::vector<std::span<const std::int32_t>> examples(batch.begin(), batch.end());
  std::int64_t rows = 0;
  for (const auto& ids : batch) rows += std::ssize(ids);
  const auto residual = loaded.base->forward(model::pack(examples), loaded.adapter(), {}, nullptr);
  const auto logits = loaded.base->logits(residual.narrow(0, 0, rows)).contiguous();
  TRY(write_file(file, std::string_view(static_cast<const char*>(logits.const_data_ptr()), logits.nbytes())));
  return Json(logits.sizes().vec());
}

Result<Json> continue_greedily(const Loaded& loaded, const std::vector<Ids>& batch, const Json& task) {
  const std::int64_t count = task.at("greedy");
  std::vector<std::unique_ptr<model::KeyValueCache>> caches;
  std::vector<model::DecodeStep> steps;
  Json answers = Json::array();
  const auto take = [&](const at::Tensor& logits, std::size_t i) {
    steps[i].token = static_cast<std::int32_t>(logits.argmax().item<std::int64_t>());
    answers[i].push_back(steps[i].token);
  };
  for (std::size_t i = 0; i < batch.size(); ++i) {
    caches.push_back(std::make_unique<model::KeyValueCache>(loaded.base->config(), loaded.base->precision(),
                                                            std::ssize(batch[i]) + count));
    steps.push_back({0, caches[i].get(), loaded.adapter()});
    const std::int64_t prefix = task.value("prefix", 0);
    if (prefix > 0) {
      TRY(loaded.base->prefill(batch[i], *caches[i], loaded.adapter()));
      caches[i]->truncate(prefix);
    }
    take(TRY(loaded.base->prefill(std::span(batch[i]).subspan(static_cast<std::size_t>(prefix)), *caches[i],
                                  loaded.adapter())),
         i);
  }
  for (std::int64_t done = 1; done < count; ++done) {
    const auto logits = TRY(loaded.base->decode(steps));
    for (std::size_t i = 0; i < batch.size(); ++i) take(logits.select(0, static_cast<std::int64_t>(i)), i);
  }
  return task.contains("batch") ? answers : answers[0];
}

std::vector<data::Example> examples_of(const Json& task) {
  std::vector<data::Example> examples;
  for (const auto& row : task.at("examples")) {
    auto& example = examples.emplace_back();
    example.ids = row.at("ids").get<Ids>();
    example.answer_start = row.at("answer_start");
  }
  return examples;
}

train::TrainOptions train_options(const Loaded& loaded, const Json& task) {
  train::TrainOptions options;
  options.epochs = task.at("steps");
  options.batch_size = std::ssize(task.at("examples"));
  options.learning_rate = task.at("rate");
  options.schedule = train::Schedule::constant;
  options.precision = loaded.base->precision();
  return options;
}

Json losses_of(const Json& metrics) {
  Json losses = Json::array();
  for (const auto& event : metrics)
    if (event["event"] == "step") losses.push_back(event["loss"]);
  return losses;
}

Result<Json> train_whole(const Loaded& loaded, const Json& task) {
  const std::filesystem::path folder = task.at("train").get<std::string>();
  auto options = train_options(loaded, task);
  options.method = train::Method::full;
  auto weights = train::FullWeights::of(*loaded.base);
  train::FullTrainable trainable(*loaded.base, weights);
  distributed::Group alone;
  const auto outcome = TRY(train::run(*loaded.base, {examples_of(task), {}}, options, folder / "checkpoints", {}, alone, trainable));
  TRY(weights.save(task.at("full").get<std::string>(), folder / "model"));
  return losses_of(outcome.metrics);
}

Result<Json> train_adapter(const Loaded& loaded, const Json& task) {
  const std::filesystem::path folder = task.at("train").get<std::string>();
  auto options = train_options(loaded, task);
  options.lora = {
      .rank = task.at("lora").at("r"), .alpha = task.at("lora").at("alpha"), .targets = task.at("lora").at("targets")};
  TRY(TRY(model::Adapter::create(loaded.base->config(), options.lora, options.seed)).save(folder / "start", "base", loaded.base->digest()));
  const auto result = TRY(train::train(*loaded.base, {examples_of(task), {}}, options, folder / "checkpoints"));
  TRY(result.adapter.save(folder / "adapter", "base", loaded.base->digest()));
  return losses_of(result.metrics);
}

Result<Json> answer(Loaded& loaded, const Json& task) {
  if (task.contains("open")) {
    loaded = TRY(load(task["open"], task.value("dtype", "fp32"), task.value("adapter", "")));
    TRY(loaded.base->quantise(TRY(model::parse_weight_format(task.value("weights", "bf16")))));
    if (task.value("packed", false)) loaded.base->pack();
    return Json();
  }
  if (task.contains("full")) return train_whole(loaded, task);
  if (task.contains("train")) return train_adapter(loaded, task);
  if (task.contains("logits")) return write_logits(loaded, batch_of(task), task["logits"]);
  return continue_greedily(loaded, batch_of(task), task);
}

}  // namespace

int main(int argc, char** argv) {
  c10::InferenceMode guard;
  Loaded loaded;
  if (argc > 2) {
    auto opened = load(argv[1], argv[2], argc > 3 ? argv[3] : "");
    if (!opened) return std::cerr << opened.error().message << "\n", 1;
    loaded = std::move(*opened);
  }
  for (std::string line; std::getline(std::cin, line);) {
    const auto task = Json::parse(line);
    const auto result = answer(loaded, task);
    if (!result && task.contains("open")) {
      const auto& error = result.error();
      std::cout << Json{{"error", error.message},
                        {"where", error.where},
                        {"hint", error.hint},
                        {"code", to_string(error.code)}}
                       .dump()
                << std::endl;
      continue;
    }
    if (!result) return std::cerr << result.error().message << "\n", 1;
    std::cout << result->dump() << std::endl;
  }
  return 0;
}
