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

// A text with more bytes than the context could hold in its longest tokens need not be tokenised to be refused.
Status check_bytes(const LoadedModel& model, std::size_t bytes) {
  const auto context = static_cast<std::size_t>(model.base->config().context_length);
  const auto most = model.tokenizer->text_bytes_per_token_max();
  if (!most || bytes / *most <= context) return {};
  return fail(ErrorCode::limit_exceeded, "the prompt does not fit the context of " + std::to_string(context) + " tokens", "", "shorten the prompt");
}

}  // namespace

Result<AdapterFolders> adapter_folders(const std::filesystem::path& standard, const std::filesystem::path& others) {
  AdapterFolders out;
  if (std::filesystem::exists(standard)) out.named[out.standard = "adapter"] = standard;
  if (others.empty() || !std::filesystem::exists(others)) return out;
  for (const auto& entry : std::filesystem::directory_iterator(others)) {
    const auto name = entry.path().filename().string();
    const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'; };
    if (name.size() > 128 || !std::ranges::all_of(name, plain))
      return fail(ErrorCode::invalid_argument, "an adapter's name has letters, digits, '-', '_' and '.', at most 128", entry.path().string());
    if (!out.named.try_emplace(name, entry.path()).second) return fail(ErrorCode::already_exists, "two adapters have one name", entry.path().string());
    if (out.named.size() > kAdaptersMax) return fail(ErrorCode::limit_exceeded, "more than " + std::to_string(kAdaptersMax) + " adapters", others.string());
  }
  return out;
}

Result<LoadedModel> load_model(const std::filesystem::path& folder, const AdapterFolders& adapters, const ModelOptions& options) {
  c10::InferenceMode guard;
  if (!std::filesystem::is_directory(folder)) return fail(ErrorCode::not_found, "no model", folder.string(), "give a Hugging Face folder");
  LoadedModel loaded;
  loaded.tokenizer = TRY(tokenizer::Tokenizer::load(folder));
  auto chat = chat_template::ChatTemplate::load(folder);
  if (!chat && chat.error().code != ErrorCode::not_found) return fail(chat.error());
  if (chat) loaded.chat_template = std::move(*chat);
  loaded.base = TRY(model::CausalModel::load(folder, options.precision, options.weights));
  const auto& config = loaded.base->config();
  TRY(model::check_vocabulary(*loaded.tokenizer, config, folder));
  for (const auto& [name, adapter_folder] : adapters.named) {
    const auto adapter = TRY(model::Adapter::load(adapter_folder, config, &loaded.base->weights(), loaded.base->digest()));
    adapter.write_working(loaded.adapters.emplace_back(name).weights, options.precision);
    if (name == adapters.standard) loaded.default_adapter = loaded.adapters.size();
  }
  loaded.base->pack();
  loaded.end_tokens = config.end_tokens;
  for (const auto id : TRY(configured_ends(folder))) loaded.end_tokens.push_back(id);
  const auto special = TRY(chat_template::read_special_text(folder));
  if (const auto id = loaded.tokenizer->id_of(special.eos_token)) loaded.end_tokens.push_back(*id);
  return loaded;
}

Result<std::vector<std::int32_t>> encode_messages(const LoadedModel& model, const Prompt& prompt) {
  if (!model.chat_template) return fail(ErrorCode::unsupported, "the model has no chat template", "", "give a prompt as plain text");
  std::size_t bytes = prompt.tools.size();
  for (const auto& message : prompt.messages) bytes += message.content.size() + message.role.size() + message.json.size();
  TRY(check_bytes(model, bytes));
  const auto rendered = TRY(model.chat_template->render_marked(prompt.messages, {.prompt = chat_template::GenerationPrompt::add, .tools = prompt.tools}));
  return model.tokenizer->encode(rendered.text, tokenizer::SpecialTokens::leave_out);
}

Result<std::vector<std::int32_t>> encode_prompt(const LoadedModel& model, std::string_view prompt) {
  TRY(check_bytes(model, prompt.size()));
  return model.tokenizer->encode(prompt, tokenizer::SpecialTokens::add);
}

}  // namespace redoubt::engine::generate
