// SPDX-License-Identifier: Apache-2.0
#include "engine/train/preferences.h"

#include <algorithm>
#include <cmath>

#include "engine/data/load_examples.h"
#include "rows/files.h"

namespace redoubt::engine::train {
namespace {

constexpr std::uint64_t kRowBytesMax = 16 << 20;

struct Pair {
  data::Example chosen, rejected;
  std::int64_t tokens() const { return std::max(std::ssize(chosen.ids), std::ssize(rejected.ids)); }
};

std::vector<chat_template::Message> messages_of(const std::vector<rows::Turn>& turns) {
  std::vector<chat_template::Message> messages;
  for (const auto& turn : turns) messages.push_back({.role = turn.role, .content = turn.content, .json = turn.json});
  return messages;
}

// Rows to pairs of examples of any length.
class PairReader {
 public:
  explicit PairReader(const evaluate::Inputs& inputs) : inputs_(inputs) {}

  Result<Pair> read(const rows::Row& row, const rows::NumberedRow& at) const {
    if (row.form != rows::Form::preference)
      return fail(ErrorCode::invalid_argument, "the row is no preference", at.where, "a preference row has prompt, chosen and rejected");
    Pair pair;
    pair.chosen = TRY(read_answer(row, row.answer, row.chosen_turns, at.where + ": chosen"));
    pair.rejected = TRY(read_answer(row, row.rejected, row.rejected_turns, at.where + ": rejected"));
    // Where one answer's beginning joins the prompt's end, so it counts of both: they follow one prompt.
    pair.chosen.answer_start = pair.rejected.answer_start = std::min(pair.chosen.answer_start, pair.rejected.answer_start);
    pair.chosen.source_line = pair.rejected.source_line = at.line;
    pair.chosen.source_file = pair.rejected.source_file = at.file;
    for (const auto* example : {&pair.chosen, &pair.rejected})
      TRY(data::check_ids(*example, static_cast<std::int32_t>(inputs_.base->config().vocabulary), at.where));
    return pair;
  }

 private:
  Result<data::Example> read_answer(const rows::Row& row, const std::string& answer, const std::vector<rows::Turn>& turns, const std::string& where) const {
    if (row.messages.empty()) return example_of(row.prompt, row.prompt + data::ended(answer, inputs_.end_token), tokenizer::SpecialTokens::add, where);
    if (!inputs_.chat_template)
      return fail(ErrorCode::invalid_argument, "the model has no chat template, the row has messages", where);
    auto messages = messages_of(row.messages);
    const auto before = TRY(data::render_row(*inputs_.chat_template, messages, extras_of(row, chat_template::GenerationPrompt::add), where)).text;
    for (auto& message : messages_of(turns)) messages.push_back(std::move(message));
    const auto whole = TRY(data::render_row(*inputs_.chat_template, messages, extras_of(row, chat_template::GenerationPrompt::leave_out), where)).text;
    if (!whole.starts_with(before))
      return fail(ErrorCode::unsupported, "the chat template writes a conversation with an answer unlike its prompt", where);
    return example_of(before, whole, tokenizer::SpecialTokens::leave_out, where);
  }

  chat_template::Extras extras_of(const rows::Row& row, chat_template::GenerationPrompt prompt) const { return {.prompt = prompt, .tools = row.tools, .now = inputs_.now}; }

  Result<data::Example> example_of(const std::string& prompt, const std::string& whole, tokenizer::SpecialTokens special, const std::string& where) const {
    data::Example example;
    example.ids = TRY(inputs_.tokenizer->encode(whole, special));
    const auto start = TRY(inputs_.tokenizer->encode(prompt, special));
    const auto common = std::mismatch(start.begin(), start.end(), example.ids.begin(), example.ids.end()).first - start.begin();
    example.answer_start = static_cast<std::int32_t>(std::max<std::ptrdiff_t>(1, common));
    if (std::ssize(example.ids) <= example.answer_start) return fail(ErrorCode::invalid_argument, "the answer is empty", where);
    return example;
  }

  const evaluate::Inputs& inputs_;
};

// Puts a pair of any length where it belongs.
class PairFitter {
 public:
  PairFitter(std::int64_t max_length, data::OnTooLong on_too_long, data::ExampleWriter& writer) : max_length_(max_length), on_too_long_(on_too_long), writer_(writer) {}

  Status add(Pair pair, const std::string& where) {
    if (pair.tokens() > max_length_) {
      const auto too_long = "the pair has an answer of " + std::to_string(pair.tokens()) + " tokens with its prompt, max_length is " + std::to_string(max_length_);
      if (on_too_long_ == data::OnTooLong::drop) return writer_.count_dropped(), Status();
      if (on_too_long_ == data::OnTooLong::refuse) return fail(ErrorCode::limit_exceeded, too_long, where, "raise max_length, take the row out, or use on_too_long: truncate or drop");
      if (on_too_long_ == data::OnTooLong::windows)
        return fail(ErrorCode::invalid_argument, too_long + " and is no text that goes on in windows", where, "raise max_length, or use on_too_long: truncate or drop");
      for (auto* example : {&pair.chosen, &pair.rejected}) TRY(cut(*example, where));
    }
    if (pair.chosen.ids == pair.rejected.ids) {
      const bool cut_off = pair.chosen.truncated || pair.rejected.truncated;
      return fail(ErrorCode::invalid_argument, cut_off ? "chosen and rejected are the same as far as max_length goes" : "chosen and rejected are the same", where,
                  cut_off ? "raise max_length, or take the row out" : "take the row out");
    }
    TRY(writer_.add(pair.chosen));
    return writer_.add(pair.rejected);
  }

 private:
  Status cut(data::Example& example, const std::string& where) const {
    if (std::ssize(example.ids) <= max_length_) return {};
    if (example.answer_start >= max_length_) return fail(ErrorCode::invalid_argument, "no token of the answer is left", where, "raise max_length, or take the row out");
    data::truncate(example, static_cast<std::int32_t>(max_length_));
    return {};
  }

  std::int64_t max_length_;
  data::OnTooLong on_too_long_;
  data::ExampleWriter& writer_;
};

}  // namespace

Result<data::Examples> load_preferences(const job::Paths& paths, std::string_view channel, const evaluate::Inputs& inputs, const data::DataOptions& options) {
  const auto files = TRY(data::channel_files(paths.channel(channel), channel));
  const auto rows_in = TRY(rows::FilesReader::open(files, kRowBytesMax));
  const auto context = inputs.base->config().context_length;
  const PairReader reader(inputs);
  auto writer = TRY(data::ExampleWriter::create(paths.root));
  PairFitter fitter(options.max_length > 0 ? std::min(options.max_length, context) : context, options.on_too_long, writer);
  while (const auto next = TRY(rows_in->next())) TRY(fitter.add(TRY(reader.read(TRY(rows::row_of(*next)), *next)), next->where));
  auto examples = TRY(writer.finish());
  if (!examples.empty()) return examples;
  const bool dropped = examples.counts().dropped > 0;
  return fail(ErrorCode::invalid_argument, dropped ? "every pair is longer than max_length" : "no pairs", data::name_of(files), dropped ? "raise max_length" : "give a file with rows");
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
