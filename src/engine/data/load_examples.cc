// SPDX-License-Identifier: Apache-2.0
#include "engine/data/load_examples.h"

#include <algorithm>

#include "rows/files.h"

namespace redoubt::engine::data {
namespace {

constexpr std::uint64_t kRowBytesMax = 16 << 20;

// Puts an example of any length where it belongs.
class Fitter {
 public:
  Fitter(const LoadOptions& options, ExampleWriter& writer) : options_(options), writer_(writer) {}

  Status add(Example example, const rows::Row& row, const std::string& where) {
    if (std::ssize(example.ids) <= options_.max_length) return writer_.add(example);
    switch (options_.on_too_long) {
      case OnTooLong::truncate: return truncate(std::move(example), where);
      case OnTooLong::drop: writer_.count_dropped(); return {};
      case OnTooLong::windows:
        if (options_.max_length < 2) return fail(ErrorCode::invalid_argument, "a window of one token predicts none", where, "raise max_length");
        if (row.form == rows::Form::text) return add_windows(example);
        return fail(ErrorCode::invalid_argument, too_long(example) + " and is no text that goes on in windows", where, "raise max_length, use on_too_long: truncate, or divide the row");
      case OnTooLong::refuse: break;
    }
    return fail(ErrorCode::limit_exceeded, too_long(example), where, "raise max_length, divide the row, or use on_too_long: truncate or drop");
  }

 private:
  std::string too_long(const Example& example) const {
    return "the row has " + std::to_string(example.ids.size()) + " tokens, max_length is " + std::to_string(options_.max_length);
  }

  Status truncate(Example example, const std::string& where) {
    if (example.answer_start >= options_.max_length)
      return fail(ErrorCode::invalid_argument, "no token of the answer is left", where, "raise max_length, or take the row out");
    data::truncate(example, static_cast<std::int32_t>(options_.max_length));
    return writer_.add(example);
  }

  // Each token but the first has its prediction in one window.
  Status add_windows(const Example& whole) {
    const auto length = static_cast<std::size_t>(options_.max_length);
    Example window = whole;
    for (std::size_t begin = 0; begin + 1 < whole.ids.size();) {
      const auto end = std::min(begin + length, whole.ids.size());
      window.ids.assign(whole.ids.begin() + static_cast<std::ptrdiff_t>(begin), whole.ids.begin() + static_cast<std::ptrdiff_t>(end));
      TRY(writer_.add(window));
      writer_.count_window();
      window.answer_words = window.answer_bytes = 0;  // counted with the first
      begin = end - 1;
    }
    return {};
  }

  const LoadOptions& options_;
  ExampleWriter& writer_;
};

}  // namespace

void truncate(Example& example, std::int32_t length) {
  example.ids.resize(static_cast<std::size_t>(length));
  example.truncated = true;
  std::erase_if(example.counted, [&](const auto& span) { return span.begin >= length; });
  if (!example.counted.empty()) example.counted.back().end = std::min(example.counted.back().end, length);
}

Status check_ids(const Example& example, std::int32_t vocabulary, const std::string& where) {
  if (std::any_of(example.ids.begin(), example.ids.end(), [&](auto id) { return id < 0 || id >= vocabulary; }))
    return fail(ErrorCode::invalid_argument, "the tokenizer's vocabulary does not match the model's", where);
  return {};
}

Result<std::vector<std::filesystem::path>> channel_files(const std::filesystem::path& folder, std::string_view channel) {
  auto files = is_folder(folder) ? rows::data_files({folder}) : fail(ErrorCode::not_found, "no data");
  if (files || files.error().code != ErrorCode::not_found) return files;
  return fail(ErrorCode::not_found, "no data", (folder / (std::string(channel) + ".jsonl")).string(), "give JSON lines or a .csv as the channel '" + std::string(channel) + "'");
}

std::string name_of(const std::vector<std::filesystem::path>& files) {
  const auto first = files.front().filename().string();
  return files.size() == 1 ? first : first + " and " + std::to_string(files.size() - 1) + " more";
}

Result<Examples> load_examples(const std::vector<std::filesystem::path>& files, const Encoder& encoder, const LoadOptions& options) {
  const auto reader = TRY(rows::FilesReader::open(files, kRowBytesMax));
  auto writer = TRY(ExampleWriter::create(options.work_folder));
  Fitter fitter(options, writer);
  while (const auto next = TRY(reader->next())) {
    const auto row = TRY(rows::row_of(*next));
    auto example = TRY(encode_row(encoder, row, options.loss_on, next->where));
    example.source_line = next->line;
    example.source_file = next->file;
    TRY(check_ids(example, options.vocabulary, next->where));
    TRY(fitter.add(std::move(example), row, next->where));
  }
  auto examples = TRY(writer.finish());
  if (!examples.empty()) return examples;
  return fail(ErrorCode::invalid_argument, examples.counts().dropped > 0 ? "every row is longer than max_length" : "no examples", name_of(files),
              examples.counts().dropped > 0 ? "raise max_length" : "give a file with rows");
}

}  // namespace redoubt::engine::data
