// SPDX-License-Identifier: Apache-2.0
//
// Records of comma-separated values (RFC 4180), one at a time. Lines end with LF or CRLF.
#pragma once

#include <vector>

#include "rows/lines.h"

namespace redoubt::rows {

struct CsvField {
  std::string text;                       // without its quotes, doubled quotes single
  std::vector<std::uint32_t> raw_offset;  // of each byte in the record
};

struct CsvRecord {
  std::uint64_t line = 0;  // where it begins, from 1
  std::string raw;         // as it stands in the file, without the last line's end
  std::vector<CsvField> fields;
};

class CsvReader {
 public:
  // `name` stands for the file in errors. The lines must outlive it.
  CsvReader(LineReader& lines, std::string name, std::uint64_t record_bytes_max)
      : lines_(lines), name_(std::move(name)), record_bytes_max_(record_bytes_max) {}

  // False at the end; blank lines between records are passed over, and a byte order mark before the first. A quote inside a bare field,
  // text after a closing quote, a
  // quote that is never closed and bytes that are not UTF-8 are invalid_argument, a record that is too long limit_exceeded; both
  // name the line.
  Result<bool> next(CsvRecord& record);

 private:
  tl::unexpected<Error> bad(ErrorCode code, std::string what, std::uint64_t line) const;
  Status split(CsvRecord& record) const;

  LineReader& lines_;
  std::string name_;
  std::uint64_t record_bytes_max_;
};

}  // namespace redoubt::rows
