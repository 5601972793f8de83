// SPDX-License-Identifier: Apache-2.0
//
// Rows out of a file of JSON lines or of comma-separated values, one at a time. What the file is is told by its first bytes;
// its name only decides where those fit both.
#pragma once

#include <memory>

#include "rows/csv.h"
#include "rows/row.h"

namespace redoubt::rows {

enum class Format { json_lines, csv };

// `name` is the file's, `start` its first bytes (4 KiB are enough). A JSON array, Parquet, Arrow, a compressed file and the like
// are unsupported, each with the way to convert it.
Result<Format> format_of(std::string_view name, std::string_view start);

// A cell of `messages` or `choices` is JSON, one of `chosen` or `rejected` may be a list of messages in JSON, one of `answer` a number; an
// empty `input` is none.
// invalid_argument for a header that names no form of a row, names one column twice, or a record of another number of fields.
class CsvColumns {
 public:
  static Result<CsvColumns> read(const CsvRecord& header, const std::string& name);
  Result<Json> row(const CsvRecord& record, const std::string& name) const;
  // A record's row as a line of JSON: the members sorted, a cell of JSON as it is written.
  std::string text(const CsvRecord& record, const Json& row) const;
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
};

struct NumberedRow {
  Json value = {};
  std::string text = {};    // the line as it stands in the file; of a record the same row as a line of JSON
  std::uint64_t line = 0;   // where it begins
  std::string where = {};   // "FILE: line N", for errors
  std::shared_ptr<const std::string> file = {};  // the file's name, where rows come out of several; else null
};

// The row that a line holds, its tools in the order of the file: what a chat template writes of them follows it.
Result<Row> row_of(const NumberedRow& row);

class RowReader {
 public:
  // `name` stands for the file in errors. Errors as format_of; the source must outlive the reader.
  static Result<std::unique_ptr<RowReader>> open(Source& source, std::string name, std::uint64_t row_bytes_max);

  // Nothing at the end; blank lines are passed over. A line that is no JSON or no record is invalid_argument, one that is too
  // long limit_exceeded; both name the line.
  Result<std::optional<NumberedRow>> next();
  Format format() const { return format_; }
  std::uint64_t bytes_read() const { return lines_.bytes_read(); }

 private:
  RowReader(Source& source, std::string name, std::uint64_t row_bytes_max)
      : lines_(source, row_bytes_max), name_(std::move(name)), row_bytes_max_(row_bytes_max) {}
  Result<std::optional<NumberedRow>> next_line();
  Result<std::optional<NumberedRow>> next_record();

  LineReader lines_;
  std::string name_;
  std::uint64_t row_bytes_max_;
  Format format_ = Format::json_lines;
  std::optional<CsvReader> csv_;
  std::optional<CsvColumns> columns_;
};

}  // namespace redoubt::rows
