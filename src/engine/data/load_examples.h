// SPDX-License-Identifier: Apache-2.0
//
// A data file to examples, row by row: memory holds one row at a time (and 16 bytes an example, see example_store.h).
#pragma once

#include <filesystem>

#include "engine/data/encode_row.h"
#include "engine/data/example_store.h"

namespace redoubt::engine::data {

struct LoadOptions {
  std::int64_t max_length = 0;  // tokens of an example, at least 2
  LossOn loss_on = LossOn::answer;
  OnTooLong on_too_long = OnTooLong::truncate;
  std::int32_t vocabulary = 0;        // ids are below it
  std::filesystem::path work_folder;  // where the tokenised examples go
};

// Rows as encode_row has them; the forms and formats are those of rows/. An example of more than max_length tokens is treated as
// on_too_long says; one whose answer is cut away whole, a row that is none, and a file without a row are invalid_argument. All
// errors name the line.
Result<Examples> load_examples(const std::filesystem::path& file, const Encoder& encoder, const LoadOptions& options);

// The file of a channel's folder: CHANNEL.jsonl, CHANNEL.csv, or the only one with either ending, whatever its name. not_found for none,
// invalid_argument for several, by their names.
Result<std::filesystem::path> data_file(const std::filesystem::path& folder, std::string_view channel);

// Cuts the end off: `length` tokens stay, of which at least one counts.
void truncate(Example& example, std::int32_t length);

// Every id must lie in the vocabulary.
Status check_ids(const Example& example, std::int32_t vocabulary, const std::string& where);

}  // namespace redoubt::engine::data
