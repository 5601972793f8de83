// SPDX-License-Identifier: Apache-2.0
#include "engine/generate/loaded_model.h"

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "engine/model/vocabulary.h"

namespace redoubt::engine::generate {
namespace {

// eos_token_id of generation_config.json: a number or a list.
Result<std::vector<std::int32_t>> configured_ends(const std::filesystem::path& folder) {
  const auto path = folder / "generation_config.json";
  std::vector<std::int32_t> ends;
  if (!std::filesystem::exists(path)) return ends;
  const auto config = TRY(parse_json(TRY(read_text_file(path)), path.string()));
  if (!config.is_object() || !config.contains("eos_token_id")) return ends;
  const auto& id = config["eos_token_id"];
  for (const auto& one : id.is_array() ? id : Json::array({id}))
    if (one.is_number_unsigned() && one.get<std::uint64_t>() < 2'000'000) ends.push_back(one.get<std::int32_t>());
  return ends;
}

class CachedSequences final : public SequenceModel {
 public:
  CachedSequences(const LoadedModel& model, std::size_t slots) : model_(model), caches_(slots) {}

  std::int64_t context_length() const override { return model_.base->config().context_length; }
  std::size_t slots() const override { return caches_.size(); }
  std::int64_t vocabulary() const override { return model_.base->config().vocabulary; }

  Status open(std::size_t slot, std::int64_t capacity) override {
    try {
      caches_[slot] = std::make_unique<model::KeyValueCache>(model_.base->config(), model_.base->precision(), capacity);
    } catch (const std::exception&) {
      return fail(ErrorCode::limit_exceeded, "not enough memory for a sequence of " + std::to_string(capacity) + " tokens");
    }
    return {};
  }
  void close(std::size_t slot) override { caches_[slot].reset(); }

  Result<std::span<const float>> extend(std::size_t slot, std::span<const std::int32_t> tokens) override {
    return keep([&] { return model_.base->prefill(tokens, *caches_[slot], lora()); });
  }

  Result<std::span<const float>> step(std::span<const NextToken> tokens) override {
    std::vector<model::DecodeStep> steps;
    for (const auto& token : tokens) steps.push_back({token.token, caches_[token.slot].get()});
    return keep([&] { return model_.base->decode(steps, lora()); });
  }

 private:
  const model::LoraWeights* lora() const { return model_.adapter ? &*model_.adapter : nullptr; }

  template <class Compute>
  Result<std::span<const float>> keep(Compute compute) {
    c10::InferenceMode guard;
    try {
      logits_ = TRY(compute()).contiguous();
    } catch (const std::exception& error) {
      return fail(ErrorCode::internal, "the model could not be computed");
    }
    return std::span<const float>(logits_.const_data_ptr<float>(), static_cast<std::size_t>(logits_.numel()));
  }

  const LoadedModel& model_;
  std::vector<std::unique_ptr<model::KeyValueCache>> caches_;
  at::Tensor logits_;
};

// A text with more bytes than the context could hold in its longest tokens need not be tokenised to be refused.
Status check_bytes(const LoadedModel& model, std::size_t bytes) {
  const auto context = static_cast<std::size_t>(model.base->config().context_length);
  if (bytes / model.token_bytes_max <= context) return {};
  return fail(ErrorCode::limit_exceeded, "the prompt does not fit the context of " + std::to_string(context) + " tokens", "", "shorten the prompt");
}

}  // namespace

Result<LoadedModel> load_model(const std::filesystem::path& folder, const std::filesystem::path& adapter_folder, model::Precision precision) {
  c10::InferenceMode guard;
  if (!std::filesystem::is_directory(folder)) return fail(ErrorCode::not_found, "no model", folder.string(), "give a Hugging Face folder");
  LoadedModel loaded;
  loaded.tokenizer = TRY(tokenizer::Tokenizer::load(folder));
  auto chat = chat_template::ChatTemplate::load(folder);
  if (!chat && chat.error().code != ErrorCode::not_found) return fail(chat.error());
  if (chat) loaded.chat_template = std::move(*chat);
  loaded.base = TRY(model::CausalModel::load(folder, precision));
  const auto& config = loaded.base->config();
  TRY(model::check_vocabulary(*loaded.tokenizer, config, folder));
  if (std::filesystem::exists(adapter_folder)) {
    const auto adapter = TRY(model::Adapter::load(adapter_folder, config));
    adapter.write_working(loaded.adapter.emplace(), precision);
  }
  loaded.end_tokens = config.end_tokens;
  for (const auto id : TRY(configured_ends(folder))) loaded.end_tokens.push_back(id);
  const auto special = TRY(chat_template::read_special_text(folder));
  if (const auto id = loaded.tokenizer->id_of(special.eos_token)) loaded.end_tokens.push_back(*id);
  for (std::int32_t id = 0; id < loaded.tokenizer->vocabulary_size(); ++id)
    loaded.token_bytes_max = std::max(loaded.token_bytes_max, loaded.tokenizer->token_bytes(id).size());
  return loaded;
}

Result<std::vector<std::int32_t>> encode_messages(const LoadedModel& model, const std::vector<chat_template::Message>& messages) {
  if (!model.chat_template) return fail(ErrorCode::unsupported, "the model has no chat template", "", "give a prompt as plain text");
  std::size_t bytes = 0;
  for (const auto& message : messages) bytes += message.content.size() + message.role.size();
  TRY(check_bytes(model, bytes));
  const auto text = TRY(model.chat_template->render(messages, chat_template::GenerationPrompt::add));
  return model.tokenizer->encode(text, tokenizer::SpecialTokens::leave_out);
}

Result<std::vector<std::int32_t>> encode_prompt(const LoadedModel& model, std::string_view prompt) {
  TRY(check_bytes(model, prompt.size()));
  return model.tokenizer->encode(prompt, tokenizer::SpecialTokens::add);
}

std::unique_ptr<SequenceModel> make_sequence_model(const LoadedModel& model, std::size_t slots) {
  return std::make_unique<CachedSequences>(model, slots);
}

}  // namespace redoubt::engine::generate
