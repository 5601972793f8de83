// SPDX-License-Identifier: Apache-2.0
//
// Renders a conversation as the model was taught to read it: the Jinja template of a Hugging Face folder, with the result of
// Transformers' apply_chat_template. The interpreter knows the part of Jinja that published templates use; it has no files, no
// attributes of the program and no clock (strftime_now is not defined, so that the same messages always give the same text),
// and it stops at a number of steps, bytes and levels.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace redoubt::engine::chat_template {

struct Message {
  std::string role, content;  // UTF-8
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

struct Program;

// Immutable and safe from several threads.
class ChatTemplate {
 public:
  // chat_template.jinja, or "chat_template" of tokenizer_config.json, with bos_token and the other special tokens from there.
  // not_found when the folder has none.
  static Result<ChatTemplate> load(const std::filesystem::path& model_folder);

  struct SpecialText {
    std::string bos_token = {}, eos_token = {}, unk_token = {}, pad_token = {};
  };
  // A construct that is not known is unsupported, a template that does not parse invalid_argument; both name the line.
  static Result<ChatTemplate> parse(std::string_view source, SpecialText special, std::string where, Limits limits = {});

  // What the template itself refuses (raise_exception) is invalid_argument with its words.
  Result<std::string> render(const std::vector<Message>& messages, GenerationPrompt prompt) const;

  // The same, with what the template marks as the assistant's; nothing when it marks nothing.
  Result<MarkedText> render_marked(const std::vector<Message>& messages, GenerationPrompt prompt) const;

  const SpecialText& special() const { return special_; }

 private:
  ChatTemplate(std::shared_ptr<const Program> program, SpecialText special, std::string where, Limits limits)
      : program_(std::move(program)), special_(std::move(special)), where_(std::move(where)), limits_(limits) {}
  std::shared_ptr<const Program> program_;
  SpecialText special_;
  std::string where_;
  Limits limits_;
};

// The special tokens of a folder's tokenizer_config.json; all empty when there is no such file.
Result<ChatTemplate::SpecialText> read_special_text(const std::filesystem::path& model_folder);

}  // namespace redoubt::engine::chat_template
