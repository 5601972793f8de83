// SPDX-License-Identifier: Apache-2.0
//
// All that generation needs of a Hugging Face folder and an optional adapter, in memory.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/chat_template/chat_template.h"
#include "engine/generate/sequence_model.h"
#include "engine/model/causal_model.h"
#include "engine/tokenizer/tokenizer.h"

namespace redoubt::engine::generate {

struct LoadedModel {
  std::unique_ptr<model::CausalModel> base = {};
  std::optional<model::LoraWeights> adapter = {};
  std::unique_ptr<tokenizer::Tokenizer> tokenizer = {};
  std::optional<chat_template::ChatTemplate> chat_template = {};
  std::vector<std::int32_t> end_tokens = {};  // of config.json, generation_config.json and tokenizer_config.json
  std::size_t token_bytes_max = 1;            // of the longest token, which bounds a prompt before it is tokenised
};

// `adapter_folder` may not exist. A tokenizer whose ids lie outside the model's vocabulary is invalid_argument.
Result<LoadedModel> load_model(const std::filesystem::path& folder, const std::filesystem::path& adapter_folder, model::Precision precision);

// The tokens of a prompt: a conversation through the chat template up to the answer, or plain text.
Result<std::vector<std::int32_t>> encode_messages(const LoadedModel& model, const std::vector<chat_template::Message>& messages);
Result<std::vector<std::int32_t>> encode_prompt(const LoadedModel& model, std::string_view prompt);

// The model behind the scheduler's interface; `model` must outlive it.
std::unique_ptr<SequenceModel> make_sequence_model(const LoadedModel& model, std::size_t slots);

}  // namespace redoubt::engine::generate
