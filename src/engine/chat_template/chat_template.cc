// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_template/chat_template.h"

#include <algorithm>
#include <ctime>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "engine/chat_template/conversation.h"
#include "engine/chat_template/interpreter.h"

namespace redoubt::engine::chat_template {
namespace {

// A special token is a string or {"content": "..."}.
std::string special_of(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  if (found->is_object() && found->contains("content") && (*found)["content"].is_string()) return (*found)["content"].get<std::string>();
  return {};
}

Result<Json> read_object(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return Json::object();
  auto object = TRY(parse_json(TRY(read_text_file(path)), path.string()));
  if (!object.is_object()) return fail(ErrorCode::invalid_argument, "a tokenizer configuration is a JSON object", path.string());
  return object;
}

Result<Json> read_config(const std::filesystem::path& model_folder) {
  auto config = TRY(read_object(model_folder / "tokenizer_config.json"));
  // Folders without this member are older: there another file's special tokens count, as in Transformers.
  if (!config.contains("added_tokens_decoder")) config.update(TRY(read_object(model_folder / "special_tokens_map.json")));
  return config;
}

ChatTemplate::SpecialText special_text(const Json& config) {
  return {special_of(config, "bos_token"), special_of(config, "eos_token"), special_of(config, "unk_token"), special_of(config, "pad_token"),
          special_of(config, "sep_token"), special_of(config, "cls_token"), special_of(config, "mask_token")};
}

// "chat_template" is a text, or a list of {"name", "template"}.
Result<std::optional<std::string>> template_named(const Json& config, std::string_view name, const std::string& where) {
  const auto found = config.find("chat_template");
  if (found != config.end() && found->is_array())
    for (const auto& entry : *found)
      if (TRY(json_string(entry, "name", where)) == name) return std::optional(TRY(json_string(entry, "template", where)));
  if (found != config.end() && found->is_string() && name == "default") return std::optional(found->get<std::string>());
  return std::optional<std::string>();
}

}  // namespace

Result<ChatTemplate::SpecialText> read_special_text(const std::filesystem::path& model_folder) {
  return special_text(TRY(read_config(model_folder)));
}

Result<ChatTemplate> ChatTemplate::load(const std::filesystem::path& model_folder) {
  const auto config = TRY(read_config(model_folder));
  const auto file = model_folder / "chat_template.jinja";
  if (std::filesystem::exists(file)) {
    const auto source = TRY(read_text_file(file));
    auto made = TRY(parse(source, special_text(config), file.string()));
    const auto tools_file = model_folder / "additional_chat_templates" / "tool_use.jinja";
    if (!std::filesystem::exists(tools_file)) return made;
    const auto tools_source = TRY(read_text_file(tools_file));
    made.tool_program_ = TRY(parse(tools_source, {}, tools_file.string())).program_;
    return made;
  }
  const auto where = (model_folder / "tokenizer_config.json").string();
  const auto source = TRY(template_named(config, "default", where)), for_tools = TRY(template_named(config, "tool_use", where));
  if (!source) return fail(ErrorCode::not_found, "the model has no chat template", where, "give prompts as plain text, or use an instruction-tuned model");
  auto made = TRY(parse(*source, special_text(config), where + ": chat_template"));
  if (for_tools) made.tool_program_ = TRY(parse(*for_tools, {}, where + ": chat_template tool_use")).program_;
  return made;
}

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, SpecialText special, std::string where, Limits limits) {
  if (source.size() > limits.template_bytes_max) return fail(ErrorCode::limit_exceeded, "the chat template is too long", where);
  if (find_invalid_utf8(source) != std::string_view::npos)
    return fail(ErrorCode::invalid_argument, "the chat template is not UTF-8", where);
  const auto tokens = TRY(tokenize(source, where));
  auto program = TRY(parse_program(tokens, where, limits.depth_max));
  return ChatTemplate(std::make_shared<const Program>(std::move(program)), std::move(special), std::move(where), limits);
}

Result<std::string> ChatTemplate::render(const std::vector<Message>& messages, GenerationPrompt prompt) const {
  return TRY(render_marked(messages, prompt)).text;
}

Result<MarkedText> ChatTemplate::render_marked(const std::vector<Message>& messages, GenerationPrompt prompt) const {
  return render_marked(messages, Extras{.prompt = prompt});
}

Result<MarkedText> ChatTemplate::render_marked(const std::vector<Message>& messages, const Extras& extras) const {
  auto conversation = TRY(conversation_of(messages, extras));
  const auto program = tool_program_ && !conversation.tools.is_none() ? tool_program_ : program_;
  Dict globals{{"messages", conversation.messages},
               {"tools", conversation.tools},
               {"documents", conversation.documents},
               {"add_generation_prompt", extras.prompt == GenerationPrompt::add}};
  const std::pair<const char*, const std::string*> special[] = {
      {"bos_token", &special_.bos_token}, {"eos_token", &special_.eos_token}, {"unk_token", &special_.unk_token}, {"pad_token", &special_.pad_token},
      {"sep_token", &special_.sep_token}, {"cls_token", &special_.cls_token}, {"mask_token", &special_.mask_token}};
  std::ranges::copy(conversation.variables, std::back_inserter(globals));
  for (const auto& [name, text] : special)
    if (!text->empty() && !find_member(globals, name)) globals.emplace_back(name, *text);
  const Dict functions{{"range", Function::range},
                       {"namespace", Function::make_namespace},
                       {"dict", Function::make_dict},
                       {"strftime_now", Function::strftime_now},
                       {"raise_exception", Function::raise_exception}};
  std::ranges::copy(functions, std::back_inserter(globals));
  const Rendering rendering{globals, extras.now.value_or(static_cast<std::int64_t>(std::time(nullptr)))};
  auto marked = TRY(run_program(*program, rendering, limits_, where_));
  if (extras.continue_final_message) TRY(leave_open(conversation, marked));
  return marked;
}

}  // namespace redoubt::engine::chat_template
