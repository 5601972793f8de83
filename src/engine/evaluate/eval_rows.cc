// SPDX-License-Identifier: Apache-2.0
#include "engine/evaluate/eval_rows.h"

#include <algorithm>
#include <cstring>

#include "crypto/hash.h"
#include "engine/metrics/text.h"
#include "rows/files.h"

namespace redoubt::engine::evaluate {
namespace {

constexpr std::uint64_t kRowBytesMax = 64 << 20;

std::uint64_t hash_of(std::span<const std::int32_t> ids, std::uint64_t seed) {
  crypto::Sha256 sum;
  sum.update({reinterpret_cast<const std::uint8_t*>(&seed), sizeof seed}).update({reinterpret_cast<const std::uint8_t*>(ids.data()), ids.size_bytes()});
  const auto digest = sum.finish();
  std::uint64_t bits = 0;
  std::memcpy(&bits, digest.value.data(), sizeof bits);
  return bits;
}

class Loader {
 public:
  Loader(const data::Encoder& encoder, const EvalLoad& options, data::ExampleWriter& writer, EvalData& data)
      : encoder_(encoder), options_(options), writer_(writer), data_(data) {}

  Status add(const rows::Row& row, const rows::NumberedRow& at) {
    where_ = at.where;
    line_ = at.line;
    file_ = at.file;
    if (row.form == rows::Form::text) return add_text(row.answer);
    if (row.form == rows::Form::choices) return add_choices(row);
    auto example = TRY(data::encode_row(encoder_, row, options_.examples.loss_on, where_));
    return add_row(RowKind::answer, 0, {&example, 1});
  }

 private:
  Status add_row(RowKind kind, std::uint32_t right, std::span<data::Example> pieces) {
    EvalRow row{.line = line_, .first = static_cast<std::uint32_t>(writer_.size()), .pieces = static_cast<std::uint32_t>(pieces.size()), .right = right, .kind = kind, .file = file_};
    for (auto& piece : pieces) {
      piece.source_line = static_cast<std::size_t>(line_);
      piece.source_file = file_;
      row.hash = hash_of(piece.ids, row.hash);
      TRY(data::check_ids(piece, options_.examples.vocabulary, where_));
      if (kind == RowKind::answer && !TRY(fit(piece))) return {};
      TRY(writer_.add(piece));
    }
    data_.rows.push_back(row);
    return {};
  }

  // The other kinds are made to fit. False: the row is left out.
  Result<bool> fit(data::Example& example) {
    const auto length = static_cast<std::int32_t>(options_.examples.max_length);
    if (std::ssize(example.ids) <= length) return true;
    switch (options_.examples.on_too_long) {
      case data::OnTooLong::drop: writer_.count_dropped(); return false;
      case data::OnTooLong::truncate: {
        if (example.answer_start >= length) return fail(ErrorCode::invalid_argument, "no token of the answer is left", where_, "raise max_length, or take the row out");
        data::truncate(example, length);
        TRY(recount(example));
        return true;
      }
      default:
        return fail(ErrorCode::limit_exceeded, "the row has " + std::to_string(example.ids.size()) + " tokens, max_length is " + std::to_string(length), where_,
                    "raise max_length, divide the row, or use on_too_long: truncate or drop");
    }
  }

  // Words and bytes of what is left of a row that was cut: its nats are of no more.
  Status recount(data::Example& example) const {
    std::size_t words = 0, bytes = 0;
    Status status;
    data::for_each_counted(example, [&](std::int32_t begin, std::int32_t end) {
      const auto text = encoder_.tokenizer.decode(std::span(example.ids).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
      if (!text) status = fail(text.error());
      else words += data::count_words(*text), bytes += text->size();
    });
    TRY(std::move(status));
    example.answer_words = std::min(example.answer_words, words);
    example.answer_bytes = std::min(example.answer_bytes, bytes);
    return {};
  }

  Result<std::int32_t> prefix() const {
    if (options_.prefix) return *options_.prefix;
    return fail(ErrorCode::invalid_argument, "nothing stands before the first token: the tokenizer has no beginning-of-sequence and no end token", where_,
                "name bos_token in the model's tokenizer_config.json");
  }

  // A text that begins with what stands before texts gets it no second time.
  Result<std::vector<std::int32_t>> encode(const std::string& text) const {
    const auto before = options_.prefix ? TRY(encoder_.tokenizer.decode({&*options_.prefix, 1}, tokenizer::OnDecode::keep_special_tokens)) : std::string();
    const bool has_it = !before.empty() && text.starts_with(before);
    return encoder_.tokenizer.encode(text, has_it ? tokenizer::SpecialTokens::leave_out : tokenizer::SpecialTokens::add);
  }

  Status add_text(const std::string& text) {
    const auto tokens = TRY(encode(text));
    if (tokens.empty()) return fail(ErrorCode::invalid_argument, "the text is empty", where_, "write a text, or take the row out");
    auto windows = rolling_windows(tokens, TRY(prefix()), options_.examples.max_length);
    windows.front().answer_words = metrics::count_split(text);
    windows.front().answer_bytes = text.size();
    return add_row(RowKind::rolling, 0, windows);
  }

  Status add_choices(const rows::Row& row) {
    std::vector<data::Example> pieces;
    std::vector<ChoiceLengths> lengths;
    for (const auto& choice : row.choices) {
      pieces.push_back(TRY(continuation(row.prompt, " " + choice)));
      pieces.back().answer_words = data::count_words(choice);
      pieces.back().answer_bytes = choice.size();
      lengths.push_back({static_cast<std::uint32_t>(metrics::code_points(choice).size()), static_cast<std::uint32_t>(choice.size())});
    }
    TRY(add_row(RowKind::choices, static_cast<std::uint32_t>(row.right), pieces));
    data_.choices.insert(data_.choices.end(), lengths.begin(), lengths.end());
    return {};
  }

  // White space at the context's end goes to the continuation, as words are tokenised with the space before them; what is too long
  // loses its beginning.
  Result<data::Example> continuation(std::string context, std::string text) const {
    const auto kept = metrics::trimmed_end(context);
    text = context.substr(kept) + text;
    context.resize(kept);
    data::Example example;
    std::size_t border = 1;
    if (context.empty()) {
      example.ids = TRY(encoder_.tokenizer.encode(text, tokenizer::SpecialTokens::leave_out));
      example.ids.insert(example.ids.begin(), TRY(prefix()));
    } else {
      const auto whole = context + text;
      example.ids = TRY(encode(whole));
      border = TRY(encode(context)).size();
    }
    if (border < 1 || border >= example.ids.size()) return fail(ErrorCode::invalid_argument, "a choice adds no token to the question", where_, "write the choice otherwise");
    const auto room = static_cast<std::size_t>(options_.examples.max_length) + 1;
    if (example.ids.size() - border >= room) return fail(ErrorCode::limit_exceeded, "a choice is longer than max_length", where_, "raise max_length");
    if (example.ids.size() > room) {
      const auto cut = example.ids.size() - room;
      example.ids.erase(example.ids.begin(), example.ids.begin() + static_cast<std::ptrdiff_t>(cut));
      border = border > cut ? border - cut : 1;
      example.truncated = true;
    }
    example.answer_start = static_cast<std::int32_t>(std::max<std::size_t>(1, border));
    return example;
  }

  const data::Encoder& encoder_;
  const EvalLoad& options_;
  data::ExampleWriter& writer_;
  EvalData& data_;
  std::string where_;
  std::uint64_t line_ = 0;
  std::shared_ptr<const std::string> file_;
};

// The first of the greatest values is chosen, as NumPy's argmax does.
template <class Value>
std::uint32_t best(std::uint32_t count, Value value) {
  std::uint32_t best = 0;
  for (std::uint32_t i = 1; i < count; ++i)
    if (value(i) > value(best)) best = i;
  return best;
}

}  // namespace

std::vector<data::Example> rolling_windows(std::span<const std::int32_t> tokens, std::int32_t prefix, std::int64_t length) {
  const auto size = static_cast<std::size_t>(length);
  std::vector<data::Example> windows;
  for (std::size_t done = 0; done < tokens.size();) {
    const std::size_t end = std::min(done + size, tokens.size());
    data::Example window;
    if (done == 0) window.ids.push_back(prefix);
    const std::size_t begin = done == 0 ? 0 : end - size - 1;
    window.ids.insert(window.ids.end(), tokens.begin() + static_cast<std::ptrdiff_t>(begin), tokens.begin() + static_cast<std::ptrdiff_t>(end));
    window.answer_start = static_cast<std::int32_t>(window.ids.size() - (end - done));
    windows.push_back(std::move(window));
    done = end;
  }
  return windows;
}

Result<EvalData> load_rows(const std::vector<std::filesystem::path>& files, const data::Encoder& encoder, const EvalLoad& options) {
  const auto reader = TRY(rows::FilesReader::open(files, kRowBytesMax));
  auto writer = TRY(data::ExampleWriter::create(options.examples.work_folder));
  EvalData data;
  Loader loader(encoder, options, writer, data);
  while (const auto next = TRY(reader->next())) TRY(loader.add(TRY(rows::row_of(*next)), *next));
  data.pieces = TRY(writer.finish());
  if (data.rows.empty()) return fail(ErrorCode::invalid_argument, data.pieces.counts().dropped > 0 ? "every row is longer than max_length" : "no examples", data::name_of(files), "give a file with rows that fit");
  return data;
}

std::vector<RowScore> fold(const EvalData& data, std::span<const ExampleScore> scores) {
  std::vector<RowScore> rows;
  std::size_t choice = 0;
  for (const auto& row : data.rows) {
    RowScore out;
    const auto pieces = scores.subspan(row.first, row.pieces);
    if (row.kind == RowKind::choices) {
      const auto* lengths = data.choices.data() + choice;
      choice += row.pieces;
      out.is_choice = true;
      out.score = pieces[row.right];
      out.right = best(row.pieces, [&](auto i) { return pieces[i].log_likelihood; }) == row.right;
      out.right_by_characters = best(row.pieces, [&](auto i) { return pieces[i].log_likelihood / lengths[i].characters; }) == row.right;
      out.right_by_bytes = best(row.pieces, [&](auto i) { return pieces[i].log_likelihood / lengths[i].bytes; }) == row.right;
    } else {
      for (const auto& piece : pieces) {
        out.score.tokens += piece.tokens;
        out.score.correct += piece.correct;
        out.score.log_likelihood += piece.log_likelihood;
        out.score.words += piece.words;
        out.score.bytes += piece.bytes;
      }
    }
    rows.push_back(out);
  }
  return rows;
}

}  // namespace redoubt::engine::evaluate
