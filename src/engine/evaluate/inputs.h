// SPDX-License-Identifier: Apache-2.0
//
// What training and evaluation jobs begin with: the model, its tokenizer and chat template, tokenised examples, threads.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/chat_template/chat_template.h"
#include "engine/data/example_store.h"
#include "engine/data/options.h"
#include "engine/job/job.h"
#include "engine/model/causal_model.h"
#include "engine/tokenizer/tokenizer.h"

namespace redoubt::engine::evaluate {

struct Inputs {
  std::unique_ptr<model::CausalModel> base;
  std::unique_ptr<tokenizer::Tokenizer> tokenizer;
  std::optional<chat_template::ChatTemplate> chat_template;  // none for data without conversations
};

// Reads the channel `model`.
Result<Inputs> load_model(const job::Paths& paths, model::Precision precision);

// What became of rows that were too long: said on standard error and, as the event "truncated", on standard output. Nothing where
// all fitted.
void report_cuts(std::string_view channel, const data::Examples& examples, job::EventWriter& events);

// Reads CHANNEL/CHANNEL.jsonl (or .csv) into examples that the model can compute. The tokens lie in a file in the job's root.
Result<data::Examples> load_channel(const job::Paths& paths, std::string_view channel, const Inputs& inputs, const data::DataOptions& options);

// The channel `adapter`, if there is one.
Result<std::optional<model::Adapter>> load_adapter(const job::Paths& paths, const model::CausalModel& base);

// 0 means every core this process may use.
void set_threads(std::int64_t threads);

}  // namespace redoubt::engine::evaluate
