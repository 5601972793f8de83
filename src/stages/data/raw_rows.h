// SPDX-License-Identifier: Apache-2.0
//
// Rows as they stand in a file, broken ones too, for what must miss none.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "rows/reader.h"

namespace redoubt::stages::data {

struct RawRow {
  enum class Is { line, record, header };
  Is is = Is::line;
  std::uint64_t line = 0;
  std::string text;                    // the line; of a record as it stands in the file
  std::uint64_t left_out = 0;          // bytes of a line that was too long to be kept
  std::vector<rows::CsvField> fields;  // of a record or header
  std::shared_ptr<const rows::CsvColumns> columns;
  std::optional<Error> broken;         // a record that does not read as one, a header without our columns
};

class RawRowReader {
 public:
  // Lines of more than `line_bytes_max` are not kept. A file of another kind is an error; the source must outlive the reader.
  static Result<std::unique_ptr<RawRowReader>> open(Source& source, std::string name, std::uint64_t line_bytes_max);
  // Blank lines are passed over; nothing at the end. Errors are failures of reading alone.
  Result<std::optional<RawRow>> next();
  std::uint64_t bytes_read() const { return lines_.bytes_read(); }
  std::uint64_t last_line() const { return last_line_; }

 private:
  RawRowReader(Source& source, std::string name, std::uint64_t line_bytes_max) : name_(std::move(name)), lines_(source, line_bytes_max) {}
  Result<std::optional<RawRow>> next_line();
  Result<std::optional<RawRow>> next_record();

  std::string name_;
  std::uint64_t last_line_ = 0;
  rows::LineReader lines_;
  std::optional<rows::CsvReader> csv_;  // where the file is a table
  std::shared_ptr<const rows::CsvColumns> columns_;
};

}  // namespace redoubt::stages::data
