// SPDX-License-Identifier: Apache-2.0
#include "engine/chat_template/chat_template.h"

#include "base/file.h"
#include "base/json.h"
#include "engine/chat_template/interpreter.h"
#include "engine/tokenizer/utf8.h"

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

Result<Json> read_config(const std::filesystem::path& model_folder) {
  const auto path = model_folder / "tokenizer_config.json";
  if (!std::filesystem::exists(path)) return Json::object();
  auto config = TRY(parse_json(TRY(read_text_file(path)), path.string()));
  if (!config.is_object()) return fail(ErrorCode::invalid_argument, "a tokenizer configuration is a JSON object", path.string());
  return config;
}

ChatTemplate::SpecialText special_text(const Json& config) {
  return {special_of(config, "bos_token"), special_of(config, "eos_token"), special_of(config, "unk_token"), special_of(config, "pad_token")};
}

// "chat_template" is a text, or a list of {"name", "template"} of which the one named "default" counts.
Result<std::string> template_of(const Json& config, const std::string& where) {
  const auto found = config.find("chat_template");
  if (found != config.end() && found->is_string()) return found->get<std::string>();
  if (found != config.end() && found->is_array())
    for (const auto& entry : *found)
      if (TRY(json_string(entry, "name", where)) == "default") return json_string(entry, "template", where);
  return fail(ErrorCode::not_found, "the model has no chat template", where, "give prompts as plain text, or use an instruction-tuned model");
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
    return parse(source, special_text(config), file.string());
  }
  const auto where = (model_folder / "tokenizer_config.json").string();
  const auto source = TRY(template_of(config, where));
  return parse(source, special_text(config), where + ": chat_template");
}

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, SpecialText special, std::string where, Limits limits) {
  if (source.size() > limits.template_bytes_max) return fail(ErrorCode::limit_exceeded, "the chat template is too long", where);
  if (tokenizer::find_invalid_utf8(source) != std::string_view::npos)
    return fail(ErrorCode::invalid_argument, "the chat template is not UTF-8", where);
  const auto tokens = TRY(tokenize(source, where));
  auto program = TRY(parse_program(tokens, where, limits.depth_max));
  return ChatTemplate(std::make_shared<const Program>(std::move(program)), std::move(special), std::move(where), limits);
}

Result<std::string> ChatTemplate::render(const std::vector<Message>& messages, GenerationPrompt prompt) const {
  return TRY(render_marked(messages, prompt)).text;
}

Result<MarkedText> ChatTemplate::render_marked(const std::vector<Message>& messages, GenerationPrompt prompt) const {
  List list;
  for (const auto& message : messages) {
    if (tokenizer::find_invalid_utf8(message.role) != std::string_view::npos || tokenizer::find_invalid_utf8(message.content) != std::string_view::npos)
      return fail(ErrorCode::invalid_argument, "a message is not UTF-8");
    list.push_back(Value::of(Dict{{"role", message.role}, {"content", message.content}}));
  }
  const Dict globals{{"messages", Value::of(std::move(list))},
                     {"add_generation_prompt", prompt == GenerationPrompt::add},
                     {"tools", None{}},
                     {"documents", None{}},
                     {"bos_token", special_.bos_token},
                     {"eos_token", special_.eos_token},
                     {"unk_token", special_.unk_token},
                     {"pad_token", special_.pad_token},
                     {"range", Function::range},
                     {"namespace", Function::make_namespace},
                     {"dict", Function::make_dict},
                     {"raise_exception", Function::raise_exception}};
  return run_program(*program_, globals, limits_, where_);
}

}  // namespace redoubt::engine::chat_template
