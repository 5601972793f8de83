// SPDX-License-Identifier: Apache-2.0
//
// What training and evaluation jobs begin with: the model, its tokenizer and chat template, tokenised examples, threads.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/chat_template/chat_template.h"
#include "engine/data/examples.h"
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

// How many examples were cut at max_length. Says so on standard error and, as the event "truncated", on standard output.
std::int64_t report_truncated(std::string_view channel, std::span<const data::Example> examples, job::EventWriter& events);

// Reads CHANNEL/CHANNEL.jsonl and checks that the model can compute every example. max_length 0 means the model's context.
Result<std::vector<data::Example>> load_channel(const job::Paths& paths, std::string_view channel, const Inputs& inputs,
                                                std::int64_t max_length);

// The channel `adapter`, if there is one.
Result<std::optional<model::Adapter>> load_adapter(const job::Paths& paths, const model::Config& config);

// 0 means every core this process may use.
void set_threads(std::int64_t threads);

}  // namespace redoubt::engine::evaluate
