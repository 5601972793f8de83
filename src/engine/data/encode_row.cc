// SPDX-License-Identifier: Apache-2.0
#include "engine/data/encode_row.h"

#include <algorithm>

namespace redoubt::engine::data {
namespace {

// A row's text, and which bytes of it count.
struct Written {
  std::string text;
  std::vector<chat_template::TextSpan> counted;
  std::vector<std::string> answers;  // what the counted bytes say, without what the template adds
  tokenizer::SpecialTokens special = tokenizer::SpecialTokens::leave_out;  // a template writes them itself
};

bool is_empty(std::string_view text) { return text.find_first_not_of(" \t\r\n") == text.npos; }

class RowWriter {
 public:
  RowWriter(const Encoder& encoder, LossOn loss_on, const std::string& where) : encoder_(encoder), loss_on_(loss_on), where_(where) {}

  Result<Written> write(const rows::Row& row) const {
    switch (row.form) {
      case rows::Form::messages: return conversation(row);
      case rows::Form::completion: return completion(row);
      case rows::Form::text: return text(row);
      case rows::Form::choices: return bad("a row with choices has nothing to learn from", "evaluate on it, or write the right choice as a completion");
      case rows::Form::preference: return bad("a row with 'chosen' and 'rejected' is no example of one answer", "train on it with a preference loss, or write the chosen answer as a completion");
    }
    return bad("a row of an unknown form", "");
  }

 private:
  tl::unexpected<Error> bad(std::string what, std::string cure) const { return fail(ErrorCode::invalid_argument, std::move(what), where_, std::move(cure)); }

  Result<Written> completion(const rows::Row& row) const {
    const std::string whole = row.prompt + ended(row.answer, encoder_.end_token);
    if (loss_on_ == LossOn::all) return Written{whole, {{0, whole.size()}}, {row.prompt, row.answer}, tokenizer::SpecialTokens::add};
    return Written{whole, {{row.prompt.size(), whole.size()}}, {row.answer}, tokenizer::SpecialTokens::add};
  }

  Result<Written> text(const rows::Row& row) const {
    if (loss_on_ == LossOn::marked) return bad("a text has no mark", "use loss_on: all, or write prompt and completion");
    const std::string whole = ended(row.answer, encoder_.end_token);
    return Written{whole, {{0, whole.size()}}, {row.answer}, tokenizer::SpecialTokens::add};
  }

  Result<Written> conversation(const rows::Row& row) const {
    if (!encoder_.chat_template) return bad("the model has no chat template, the row has messages", "write prompt and completion, or use a model with a template");
    std::vector<chat_template::Message> messages;
    for (const auto& turn : row.messages) messages.push_back({.role = turn.role, .content = turn.content, .json = turn.json});
    auto whole = TRY(rendered(row, messages, chat_template::GenerationPrompt::leave_out));
    Written written{whole.text, {}, {}};
    if (loss_on_ == LossOn::all) {
      written.counted = {{0, whole.text.size()}};
      for (const auto& turn : row.messages) written.answers.push_back(rows::said(turn));
      return written;
    }
    const bool by_hand = std::any_of(row.messages.begin(), row.messages.end(), [](const auto& turn) { return turn.train.has_value(); });
    if (loss_on_ == LossOn::marked && !by_hand) return marked_by_template(row, std::move(whole));
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (!counts(row, i)) continue;
      written.counted.push_back(TRY(span_of(row, messages, i, whole.text)));
      written.answers.push_back(rows::said(row.messages[i]));
    }
    if (written.counted.empty()) return bad("no turn of the row counts", loss_on_ == LossOn::marked ? "mark a turn with \"train\": true" : "every answer is marked \"train\": false");
    return written;
  }

  Result<chat_template::MarkedText> rendered(const rows::Row& row, const std::vector<chat_template::Message>& messages, chat_template::GenerationPrompt prompt) const {
    return render_row(*encoder_.chat_template, messages, {.prompt = prompt, .tools = row.tools, .now = encoder_.now}, where_);
  }

  bool counts(const rows::Row& row, std::size_t i) const {
    const auto& turn = row.messages[i];
    if (loss_on_ == LossOn::marked) return turn.train.value_or(false);
    if (turn.role != "assistant" || !turn.train.value_or(true)) return false;
    return loss_on_ == LossOn::answers || i + 1 == row.messages.size();
  }

  Result<Written> marked_by_template(const rows::Row& row, chat_template::MarkedText whole) const {
    if (whole.generated.empty()) {
      return bad("neither the row nor the chat template marks what counts",
                 "mark turns with \"train\": true, or the template with {% generation %}, or use loss_on: answers");
    }
    Written written{std::move(whole.text), std::move(whole.generated), {}};
    for (const auto& turn : row.messages)
      if (turn.role == "assistant") written.answers.push_back(rows::said(turn));
    return written;
  }

  // Where turn `i` stands in the whole: after what the template writes of the turns before it (and, for an answer, the generation
  // prompt), up to where the next turn begins.
  Result<chat_template::TextSpan> span_of(const rows::Row& row, const std::vector<chat_template::Message>& messages, std::size_t i, const std::string& whole) const {
    using chat_template::GenerationPrompt;
    const auto first = [&](std::size_t count) { return std::vector(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(count)); };
    const auto prompt = messages[i].role == "assistant" ? GenerationPrompt::add : GenerationPrompt::leave_out;
    const std::string before = i == 0 ? "" : TRY(rendered(row, first(i), prompt)).text;
    const bool last = i + 1 == messages.size();
    const std::string through = last ? whole : TRY(rendered(row, first(i + 1), GenerationPrompt::leave_out)).text;
    if (!whole.starts_with(before) || !whole.starts_with(through) || through.size() < before.size()) {
      return fail(ErrorCode::unsupported,
                  last ? "the chat template writes a conversation with an answer unlike its prompt" : "the chat template writes a turn another way once more follow",
                  where_, last ? "use prompt and completion, or another template" : "use loss_on: answer, or a row for each answer");
    }
    return chat_template::TextSpan{before.size(), through.size()};
  }

  const Encoder& encoder_;
  LossOn loss_on_;
  const std::string& where_;
};

// Byte spans to token spans. The first token has no prediction.
Result<std::vector<TokenSpan>> token_spans(const Encoder& encoder, const Written& written, const std::vector<std::int32_t>& ids) {
  std::vector<TokenSpan> spans;
  for (const auto& span : written.counted) {
    const auto begin = TRY(tokens_before(encoder.tokenizer, written.text, span.begin, ids, written.special));
    auto end = ids.size();
    if (span.end < written.text.size()) {
      end = TRY(tokens_before(encoder.tokenizer, written.text, span.end, ids, written.special));
      // A token that begins in the span counts, though it goes on behind it.
      const auto inside = TRY(encoder.tokenizer.encode(std::string_view(written.text).substr(0, span.end), written.special));
      if (inside.size() > end) ++end;
    }
    const auto first = std::max<std::size_t>({1, begin, spans.empty() ? 0 : static_cast<std::size_t>(spans.back().end)});
    if (first >= end) continue;
    if (!spans.empty() && spans.back().end == static_cast<std::int32_t>(first)) spans.back().end = static_cast<std::int32_t>(end);
    else spans.push_back({static_cast<std::int32_t>(first), static_cast<std::int32_t>(end)});
  }
  return spans;
}

}  // namespace

Result<chat_template::MarkedText> render_row(const chat_template::ChatTemplate& chat_template, const std::vector<chat_template::Message>& messages,
                                             const chat_template::Extras& extras, const std::string& where) {
  auto text = chat_template.render_marked(messages, extras);
  if (text) return text;
  const auto& error = text.error();
  return fail(error.code, "the chat template does not write this row: " + error.message, where + "; " + error.where,
              error.hint.empty() ? "write the row as the model's template takes it, or take it out" : error.hint);
}

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

std::string end_of_text(const tokenizer::Tokenizer& tokenizer, std::string_view named, std::span<const std::int32_t> end_tokens) {
  if (!named.empty()) return std::string(named);
  return end_tokens.empty() ? std::string() : std::string(tokenizer.token_bytes(end_tokens.front()));
}

std::string ended(std::string text, std::string_view end_token) {
  if (!text.ends_with(end_token)) text += end_token;
  return text;
}

Result<std::size_t> tokens_before(const tokenizer::Tokenizer& tokenizer, std::string_view text, std::size_t border, const std::vector<std::int32_t>& ids,
                                  tokenizer::SpecialTokens special) {
  if (border == 0) return 0;
  const auto before = TRY(tokenizer.encode(text.substr(0, border), special));
  return static_cast<std::size_t>(std::mismatch(before.begin(), before.end(), ids.begin(), ids.end()).first - before.begin());
}

Result<Example> encode_row(const Encoder& encoder, const rows::Row& row, LossOn loss_on, const std::string& where) {
  const auto written = TRY(RowWriter(encoder, loss_on, where).write(row));
  if (is_empty(row.answer)) return fail(ErrorCode::invalid_argument, "the answer is empty", where, "write an answer, or take the row out");
  Example example;
  example.ids = TRY(encoder.tokenizer.encode(written.text, written.special));
  auto spans = TRY(token_spans(encoder, written, example.ids));
  if (spans.empty()) return fail(ErrorCode::invalid_argument, "no token of the row counts", where, "write a longer answer, or take the row out");
  example.answer_start = spans.front().begin;
  // Where all from some token on counts, that token says it.
  if (spans.size() > 1 || spans.front().end < std::ssize(example.ids)) example.counted = std::move(spans);
  for (const auto& answer : written.answers) {
    example.answer_words += count_words(answer);
    example.answer_bytes += answer.size();
  }
  return example;
}

}  // namespace redoubt::engine::data
