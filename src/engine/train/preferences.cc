// SPDX-License-Identifier: Apache-2.0
#include "engine/train/preferences.h"

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "engine/data/load_examples.h"

namespace redoubt::engine::train {
namespace {

constexpr std::uint64_t kFileBytesMax = std::uint64_t{4} << 30;

struct Prompt {
  std::string text;
  std::vector<chat_template::Message> messages;  // instead of it
};

class PairReader {
 public:
  PairReader(const evaluate::Inputs& inputs, std::int64_t max_length) : inputs_(inputs), max_length_(max_length) {}

  Status read(const Json& row, const std::string& where, std::size_t line, std::vector<data::Example>& out) const {
    for (const char* key : {"prompt", "chosen", "rejected"})
      if (!row.is_object() || !row.contains(key))
        return fail(ErrorCode::invalid_argument, std::string("the row has no '") + key + "'", where,
                    "a preference row has prompt, chosen and rejected");
    for (const char* key : {"chosen", "rejected"}) {
      auto example = TRY(read_answer(row["prompt"], row[key], where + ": " + key));
      example.source_line = line;
      out.push_back(std::move(example));
    }
    if (out[out.size() - 2].ids == out.back().ids)
      return fail(ErrorCode::invalid_argument, "chosen and rejected are the same", where, "take the row out");
    return {};
  }

 private:
  Result<std::vector<chat_template::Message>> messages_of(const Json& list, const std::string& where) const {
    std::vector<chat_template::Message> messages;
    for (const auto& message : list)
      messages.push_back({.role = TRY(json_string(message, "role", where)), .content = TRY(json_string(message, "content", where))});
    return messages;
  }

  Result<data::Example> read_answer(const Json& prompt, const Json& answer, const std::string& where) const {
    if (prompt.is_string() && answer.is_string()) {
      const auto text = prompt.get<std::string>();
      const std::string end = inputs_.chat_template ? inputs_.chat_template->special().eos_token : "";
      return example_of(text, text + answer.get<std::string>() + end, where);
    }
    if (!prompt.is_array() || !answer.is_array())
      return fail(ErrorCode::invalid_argument, "prompt and answers are neither texts nor lists of messages", where);
    if (!inputs_.chat_template)
      return fail(ErrorCode::invalid_argument, "the model has no chat template, the row has messages", where);
    auto messages = TRY(messages_of(prompt, where));
    const auto before = TRY(inputs_.chat_template->render(messages, chat_template::GenerationPrompt::add));
    for (auto& message : TRY(messages_of(answer, where))) messages.push_back(std::move(message));
    const auto whole = TRY(inputs_.chat_template->render(messages, chat_template::GenerationPrompt::leave_out));
    if (!whole.starts_with(before))
      return fail(ErrorCode::unsupported, "the chat template writes a conversation with an answer unlike its prompt", where);
    return example_of(before, whole, where);
  }

  Result<data::Example> example_of(const std::string& prompt, const std::string& whole, const std::string& where) const {
    data::Example example;
    example.ids = TRY(inputs_.tokenizer->encode(whole, tokenizer::SpecialTokens::leave_out));
    const auto start = TRY(inputs_.tokenizer->encode(prompt, tokenizer::SpecialTokens::leave_out));
    const auto common = std::mismatch(start.begin(), start.end(), example.ids.begin(), example.ids.end()).first - start.begin();
    example.answer_start = static_cast<std::int32_t>(std::max<std::ptrdiff_t>(1, common));
    if (std::ssize(example.ids) > max_length_)
      return fail(ErrorCode::limit_exceeded, "the answer of a pair is longer than " + std::to_string(max_length_) + " tokens", where,
                  "raise max_length, or take the row out");
    if (std::ssize(example.ids) <= example.answer_start) return fail(ErrorCode::invalid_argument, "the answer is empty", where);
    return example;
  }

  const evaluate::Inputs& inputs_;
  std::int64_t max_length_;
};

}  // namespace

Result<std::vector<data::Example>> load_preferences(const std::filesystem::path& file, const evaluate::Inputs& inputs,
                                                    std::int64_t max_length) {
  const auto context = inputs.base->config().context_length;
  const PairReader reader(inputs, max_length > 0 ? std::min(max_length, context) : context);
  const auto text = TRY(read_text_file(file, kFileBytesMax));
  std::vector<data::Example> examples;
  std::size_t line = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string where = file.filename().string() + ": line " + std::to_string(++line);
    const auto row = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    TRY(reader.read(TRY(parse_json(row, where)), where, line, examples));
    for (auto example = examples.end() - 2; example != examples.end(); ++example)
      TRY(data::check_ids(*example, static_cast<std::int32_t>(inputs.base->config().vocabulary), where));
  }
  if (examples.empty()) return fail(ErrorCode::invalid_argument, "no pairs", file.filename().string());
  return examples;
}

PreferenceLoss preference_loss(std::span<const double> nats, std::span<const double> reference, double beta) {
  PreferenceLoss out;
  out.slopes.resize(nats.size());
  for (std::size_t i = 0; i + 1 < nats.size(); i += 2) {
    const double margin = beta * ((reference[i] - nats[i]) - (reference[i + 1] - nats[i + 1]));
    // -log sigmoid(m), without overflow on either side.
    out.loss += std::max(-margin, 0.0) + std::log1p(std::exp(-std::abs(margin)));
    out.margin += margin;
    out.preferred += margin > 0 ? 1 : 0;
    const double slope = beta / (1 + std::exp(margin));
    out.slopes[i] = slope;
    out.slopes[i + 1] = -slope;
  }
  return out;
}

}  // namespace redoubt::engine::train
