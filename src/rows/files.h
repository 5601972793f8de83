// SPDX-License-Identifier: Apache-2.0
//
// Several data files as one: which are meant by what a person names, and their rows, one file after the other.
#pragma once

#include <filesystem>

#include "base/file.h"
#include "rows/reader.h"

namespace redoubt::rows {

// Files as they are named, and of a folder the *.jsonl and *.csv right in it, sorted by their paths: the order in which they are read.
// not_found for a folder that holds none, invalid_argument for nothing and for a file that is meant twice, unsupported for a folder
// with data of a kind that is not read (Parquet, compressed files), so that none is left out unseen.
Result<std::vector<std::filesystem::path>> data_files(const std::vector<std::filesystem::path>& named);

class FilesReader {
 public:
  // `files` as data_files has them; errors as RowReader's, by the file's own name without its folder.
  static Result<std::unique_ptr<FilesReader>> open(std::vector<std::filesystem::path> files, std::uint64_t row_bytes_max);

  // As RowReader's; nothing at the end of the last. A row of several files says in `file` which it is of.
  Result<std::optional<NumberedRow>> next();

 private:
  FilesReader(std::vector<std::filesystem::path> files, std::uint64_t row_bytes_max) : files_(std::move(files)), row_bytes_max_(row_bytes_max) {}
  Status open_next();

  std::vector<std::filesystem::path> files_;
  std::uint64_t row_bytes_max_;
  std::size_t opened_ = 0;
  std::unique_ptr<FileReader> source_;
  std::unique_ptr<RowReader> reader_;
  std::shared_ptr<const std::string> name_;
};

}  // namespace redoubt::rows
