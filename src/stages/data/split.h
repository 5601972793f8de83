// SPDX-License-Identifier: Apache-2.0
//
// Divides rows by a seeded hash of what they ask, so that a question never stands on both sides and the same seed always
// gives the same sides, whatever the order of the rows. Questions are compared folded (fold.h): case, white space and the like do
// not count. Rows stream through: memory holds one.
#pragma once

#include <memory>
#include <string>

#include "base/stream.h"
#include "rows/reader.h"

namespace redoubt::stages::data {

struct SplitOptions {
  double fraction = 0.1;  // of the questions to hold out; above 0, below 1
  std::uint64_t seed = 7;
  rows::Question question = rows::Question::user;
};

// Which questions are held out.
class Division {
 public:
  // invalid_argument for a fraction out of bounds.
  static Result<Division> create(const SplitOptions& options);
  // invalid_argument for a question that is no UTF-8.
  Result<bool> holds_out(const rows::Row& row) const;

 private:
  explicit Division(const SplitOptions& options) : options_(options) {}
  SplitOptions options_;
};

// Rows of a file that have a form. What is none is gate_refused with FILE:LINE.
class CheckedRows {
 public:
  // The source must outlive it.
  static Result<std::unique_ptr<CheckedRows>> open(Source& source, const std::string& name);
  struct Next {
    std::string text;  // the row as a JSON line, without its end
    rows::Row row;
    std::string place;  // FILE:LINE
    std::uint64_t line = 0;
  };
  Result<std::optional<Next>> next();

 private:
  explicit CheckedRows(std::unique_ptr<rows::RowReader> reader) : reader_(std::move(reader)) {}
  std::unique_ptr<rows::RowReader> reader_;
};

struct SplitCounts {
  std::uint64_t held_out = 0, kept = 0;
};

// Writes each row as a JSON line, as it stood in a file of JSON lines, to the side that it belongs to. At least one row must stay
// on either side or it is invalid_argument; a file without rows and a line that is no row are gate_refused. `name` stands for the
// file in errors.
Result<SplitCounts> split_rows(Source& source, const std::string& name, const SplitOptions& options, Sink& kept, Sink& held_out);
// The error of split_rows for sides of which one is empty.
Status check_sides(const SplitCounts& counts, const std::string& name);

// How many different questions of `held_out` stand in `kept` too: what an evaluation would have seen in training. 0 between the
// sides that split_rows makes; for sides that somebody else made, this is the check. Memory holds a hash of each held-out question.
Result<std::uint64_t> shared_questions(Source& kept, const std::string& kept_name, Source& held_out, const std::string& held_out_name,
                                       rows::Question question);

}  // namespace redoubt::stages::data
