// SPDX-License-Identifier: Apache-2.0
//
// Data files to examples, row by row: memory holds one row at a time (and 16 bytes an example, see example_store.h).
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
// on_too_long says; one whose answer is cut away whole, a row that is none, and files without a row are invalid_argument. All
// errors name file and line.
Result<Examples> load_examples(const std::vector<std::filesystem::path>& files, const Encoder& encoder, const LoadOptions& options);

// The files of a channel's folder, in the order in which they are read: all *.jsonl and *.csv in it (rows/files.h). not_found for none.
Result<std::vector<std::filesystem::path>> channel_files(const std::filesystem::path& folder, std::string_view channel);

// How messages about all of the files name them.
std::string name_of(const std::vector<std::filesystem::path>& files);

// Cuts the end off: `length` tokens stay, of which at least one counts.
void truncate(Example& example, std::int32_t length);

// Every id must lie in the vocabulary.
Status check_ids(const Example& example, std::int32_t vocabulary, const std::string& where);

}  // namespace redoubt::engine::data
