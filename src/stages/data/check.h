// SPDX-License-Identifier: Apache-2.0
//
// Looks at training data before anything else does: JSON lines or CSV of rows in the forms of rows/row.h. Names file, line and
// column of what is wrong; never repeats the text.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/stream.h"
#include "stages/data/detectors.h"

namespace redoubt::stages::data {

struct Finding {
  std::string kind;  // SCHEMA, MALFORMED_JSON, MALFORMED_CSV, INVALID_UTF8, EMPTY_ANSWER, LONG_ROW, DUPLICATE, EMPTY_FILE, UNSCANNABLE, or a detector's
  Severity severity = Severity::error;
  std::string file;
  std::uint64_t line = 0, column = 0;  // from 1; 0 where it is the whole file or line
  std::string detail;                  // no text of the data
};

struct DataReport {
  std::uint64_t rows = 0;
  std::vector<Finding> findings;  // at most 10,000; the last says so when there were more
  std::uint64_t bytes_read = 0, bytes_total = 0;  // equal, or the report is worth nothing

  std::map<std::string, std::uint64_t> by_kind() const;
  // The first finding of severity error whose kind is not in `accept`.
  const Finding* first_blocking(const std::vector<std::string>& accept) const;
  Json to_json() const;
};

struct CheckOptions {
  std::uint64_t row_bytes_max = 1 << 20;  // a longer row is LONG_ROW
};

// not_found and other failures of reading are errors, and so is a file of another kind (Parquet); whatever else is in the file is a
// finding. Memory holds one row, and eight bytes of each row's hash.
Result<DataReport> check_data(const std::filesystem::path& file, const CheckOptions& options = {});
// The same over rows that were read already, so that what was checked is what is used. `name` stands for the file.
Result<DataReport> check_rows(Source& rows, std::uint64_t bytes_total, const std::string& name, const CheckOptions& options = {});

}  // namespace redoubt::stages::data
