// SPDX-License-Identifier: Apache-2.0
#include "engine/data/load_examples.h"

#include <algorithm>

#include "base/file.h"
#include "base/json.h"

namespace redoubt::engine::data {
namespace {

constexpr std::uint64_t kFileBytesMax = std::uint64_t{4} << 30;
constexpr std::size_t kLineBytesMax = 16 << 20;

std::size_t count_words(std::string_view text) {
  std::size_t words = 0;
  bool inside = false;
  for (char c : text) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    words += !space && !inside ? 1 : 0;
    inside = !space;
  }
  return words;
}

// What the model reads, and what it must learn to write after it.
struct Texts {
  std::string prompt, whole;
  std::string answer;  // the answer's own text, without what the template adds
};

class RowReader {
 public:
  RowReader(const tokenizer::Tokenizer& tokenizer, const chat_template::ChatTemplate* chat_template, std::int64_t max_length)
      : tokenizer_(tokenizer), template_(chat_template), max_length_(max_length) {}

  Result<Example> read(const Json& row, const std::string& where) const {
    const auto texts = TRY(texts_of(row, where));
    if (texts.answer.find_first_not_of(" \t\r\n") == std::string::npos)
      return fail(ErrorCode::invalid_argument, "the answer is empty", where, "write an answer, or take the row out");
    Example example;
    example.ids = TRY(tokenizer_.encode(texts.whole, tokenizer::SpecialTokens::leave_out));
    // The template's own words end the prompt, so its tokens begin the whole's; where a tokenizer joins across that border,
    // the joined token counts as answer.
    const auto prompt = TRY(tokenizer_.encode(texts.prompt, tokenizer::SpecialTokens::leave_out));
    const auto common =
        std::mismatch(prompt.begin(), prompt.end(), example.ids.begin(), example.ids.end()).first - prompt.begin();
    example.answer_start = static_cast<std::int32_t>(std::max<std::ptrdiff_t>(1, common));
    example.truncated = std::ssize(example.ids) > max_length_;
    if (example.truncated) example.ids.resize(static_cast<std::size_t>(max_length_));
    if (std::ssize(example.ids) <= example.answer_start)
      return fail(ErrorCode::invalid_argument, "no token of the answer is left", where,
                  "raise max_length, or take the row out");
    example.answer_words = count_words(texts.answer);
    example.answer_bytes = texts.answer.size();
    return example;
  }

 private:
  Result<Texts> texts_of(const Json& row, const std::string& where) const {
    if (row.is_object() && row.contains("messages")) return conversation(row, where);
    const std::string end = template_ ? template_->special().eos_token : "";
    if (row.is_object() && row.contains("prompt")) {
      const auto prompt = TRY(json_string(row, "prompt", where)), completion = TRY(json_string(row, "completion", where));
      return Texts{prompt, prompt + completion + end, completion};
    }
    if (row.is_object() && row.contains("text")) {
      const auto text = TRY(json_string(row, "text", where));
      return Texts{"", text + end, text};
    }
    return fail(ErrorCode::invalid_argument, "the row has neither messages, nor prompt and completion, nor text", where);
  }

  Result<Texts> conversation(const Json& row, const std::string& where) const {
    if (!template_) return fail(ErrorCode::invalid_argument, "the model has no chat template, the row has messages", where);
    std::vector<chat_template::Message> messages;
    for (const auto& message : TRY(json_array(row, "messages", where)))
      messages.push_back({TRY(json_string(message, "role", where)), TRY(json_string(message, "content", where))});
    if (messages.size() < 2 || messages.back().role != "assistant")
      return fail(ErrorCode::invalid_argument, "the last of at least two messages must be the assistant's", where);
    Texts texts;
    texts.answer = messages.back().content;
    texts.whole = TRY(template_->render(messages, chat_template::GenerationPrompt::leave_out));
    messages.pop_back();
    texts.prompt = TRY(template_->render(messages, chat_template::GenerationPrompt::add));
    if (!texts.whole.starts_with(texts.prompt))
      return fail(ErrorCode::unsupported, "the chat template writes a conversation with an answer unlike its prompt", where);
    return texts;
  }

  const tokenizer::Tokenizer& tokenizer_;
  const chat_template::ChatTemplate* template_;
  std::int64_t max_length_;
};

}  // namespace

Result<std::vector<Example>> load_examples(const std::filesystem::path& file, const tokenizer::Tokenizer& tokenizer,
                                           const chat_template::ChatTemplate* chat_template, std::int64_t max_length) {
  const auto text = TRY(read_text_file(file, kFileBytesMax));
  const RowReader reader(tokenizer, chat_template, max_length);
  std::vector<Example> examples;
  std::size_t line = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string where = file.filename().string() + ": line " + std::to_string(++line);
    const auto row = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto example = TRY(reader.read(TRY(parse_json(row, where, {.bytes_max = kLineBytesMax})), where));
    example.source_line = line;
    examples.push_back(std::move(example));
  }
  return examples;
}

}  // namespace redoubt::engine::data
