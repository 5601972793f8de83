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
#include "engine/data/encode_row.h"
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
  std::string end_token;  // what ends a plain text
  std::int64_t now = 0;  // when the run began, which is what its chat template tells the date of; seconds since 1970, UTC

  // What rows are written with. Not longer than these inputs.
  data::Encoder encoder() const { return {*tokenizer, chat_template ? &*chat_template : nullptr, now, end_token}; }
};

// Since 1970, UTC.
std::int64_t seconds_now();

// Reads the channel `model`.
Result<Inputs> load_model(const job::Paths& paths, model::Precision precision, model::WeightFormat format = model::WeightFormat::as_loaded);

// What became of rows that were too long: said on standard error and, as the event "truncated", on standard output. Nothing where
// all fitted.
void report_cuts(std::string_view channel, const data::Examples& examples, job::EventWriter& events);

// Reads a channel's file (data::data_file) into examples that the model can compute. The tokens lie in a file in the job's root.
Result<data::Examples> load_channel(const job::Paths& paths, std::string_view channel, const Inputs& inputs, const data::DataOptions& options);

// The channel `adapter`, if there is one.
Result<std::optional<model::Adapter>> load_adapter(const job::Paths& paths, const model::CausalModel& base);

// 0 means every core this process may use.
void set_threads(std::int64_t threads);

}  // namespace redoubt::engine::evaluate
