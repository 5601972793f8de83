// SPDX-License-Identifier: Apache-2.0
//
// Renders a conversation as the model was taught to read it: the Jinja template of a Hugging Face folder, with the result of
// Transformers' apply_chat_template (docs/tokenizers.md). The interpreter knows the part of Jinja that published templates use; it
// has no files and no attributes of the program, and it stops at a number of steps, bytes and levels. It looks at the clock only
// where a template asks for the date (strftime_now) and the caller gives none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::engine::chat_template {

struct Message {
  std::string role, content;  // UTF-8
  // A message with more than these, such as tool calls or parts: the whole of it as a JSON object, which then counts alone. The
  // order of its keys is what a template sees.
  std::string json = {};
};

// Bytes of a text, from `begin` up to `end`.
struct TextSpan {
  std::size_t begin = 0, end = 0;
};

struct MarkedText {
  std::string text;
  std::vector<TextSpan> generated;  // in order: what the template writes between {% generation %} and {% endgeneration %}
};

struct Limits {
  std::size_t template_bytes_max = 256 << 10;
  std::size_t steps_max = 2'000'000;        // evaluated expressions and statements in one rendering
  std::size_t bytes_max = 64 << 20;         // all text that a rendering makes on its way
  std::size_t depth_max = 64;               // of nesting, in the template and in its values
};

enum class GenerationPrompt { add, leave_out };

// All that apply_chat_template is given besides the messages. JSON texts may be empty.
struct Extras {
  GenerationPrompt prompt = GenerationPrompt::leave_out;
  bool continue_final_message = false;      // the last message is left open, for the model to go on with it
  std::string tools = {};                   // JSON array of tool descriptions; a template named "tool_use" is taken for them
  std::string documents = {};               // JSON array
  std::string variables = {};               // JSON object: enable_thinking and its like
  std::optional<std::int64_t> now = {};     // what strftime_now tells, in seconds since 1970, UTC
};

struct Program;

// Immutable and safe from several threads.
class ChatTemplate {
 public:
  // chat_template.jinja (and additional_chat_templates/tool_use.jinja), or "chat_template" of tokenizer_config.json, with bos_token and
  // the other special tokens from there, or from special_tokens_map.json in a folder as older versions of Transformers wrote it.
  // not_found when the folder has none.
  static Result<ChatTemplate> load(const std::filesystem::path& model_folder);

  struct SpecialText {
    // An empty one is not defined in the template.
    std::string bos_token = {}, eos_token = {}, unk_token = {}, pad_token = {}, sep_token = {}, cls_token = {}, mask_token = {};
  };
  // A construct that is not known is unsupported, a template that does not parse invalid_argument; both name the line.
  static Result<ChatTemplate> parse(std::string_view source, SpecialText special, std::string where, Limits limits = {});

  // What the template itself refuses (raise_exception) is invalid_argument with its words.
  Result<std::string> render(const std::vector<Message>& messages, GenerationPrompt prompt) const;

  // The same, with what the template marks as the assistant's; nothing when it marks nothing.
  Result<MarkedText> render_marked(const std::vector<Message>& messages, GenerationPrompt prompt) const;
  Result<MarkedText> render_marked(const std::vector<Message>& messages, const Extras& extras) const;

 private:
  ChatTemplate(std::shared_ptr<const Program> program, SpecialText special, std::string where, Limits limits)
      : program_(std::move(program)), special_(std::move(special)), where_(std::move(where)), limits_(limits) {}
  std::shared_ptr<const Program> program_, tool_program_;  // the second only where the folder has a template "tool_use"
  SpecialText special_;
  std::string where_;
  Limits limits_;
};

// The special tokens of a folder, from the same files; all empty when there are none.
Result<ChatTemplate::SpecialText> read_special_text(const std::filesystem::path& model_folder);

}  // namespace redoubt::engine::chat_template
