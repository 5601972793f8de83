// SPDX-License-Identifier: Apache-2.0
//
// All that generation needs of a Hugging Face folder and an optional adapter, in memory.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/chat_template/chat_template.h"
#include "engine/generate/job_options.h"
#include "engine/generate/request_fields.h"
#include "engine/model/causal_model.h"
#include "engine/tokenizer/tokenizer.h"

namespace redoubt::engine::generate {

inline constexpr std::size_t kAdaptersMax = 64;

struct NamedAdapter {
  std::string name;
  model::LoraWeights weights = {};
};

// Adapters to load by name, and the one that answers whoever names none; empty: the base does.
struct AdapterFolders {
  std::map<std::string, std::filesystem::path> named = {};
  std::string standard = {};
};
// The adapter in `standard`, which gets the name "adapter", and one in each folder of `others`; both may be missing.
Result<AdapterFolders> adapter_folders(const std::filesystem::path& standard, const std::filesystem::path& others);

struct LoadedModel {
  std::unique_ptr<model::CausalModel> base = {};
  std::vector<NamedAdapter> adapters = {};
  std::size_t default_adapter = 0;  // of a request that names none: 0 for none, else its place in `adapters` + 1
  std::unique_ptr<tokenizer::Tokenizer> tokenizer = {};
  std::optional<chat_template::ChatTemplate> chat_template = {};
  std::vector<std::int32_t> end_tokens = {};  // of config.json, generation_config.json and tokenizer_config.json
};

// A tokenizer whose ids lie outside the model's vocabulary is invalid_argument.
Result<LoadedModel> load_model(const std::filesystem::path& folder, const AdapterFolders& adapters, const ModelOptions& options);

// The tokens of a prompt: a conversation through the chat template up to the answer, or plain text.
Result<std::vector<std::int32_t>> encode_messages(const LoadedModel& model, const Prompt& prompt);
Result<std::vector<std::int32_t>> encode_prompt(const LoadedModel& model, std::string_view prompt);

}  // namespace redoubt::engine::generate
