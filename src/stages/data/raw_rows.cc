// SPDX-License-Identifier: Apache-2.0
#include "stages/data/raw_rows.h"

namespace redoubt::stages::data {
namespace {

bool is_broken_record(const Error& error) { return error.code == ErrorCode::invalid_argument || error.code == ErrorCode::limit_exceeded; }

}  // namespace

Result<std::unique_ptr<RawRowReader>> RawRowReader::open(Source& source, std::string name, std::uint64_t line_bytes_max) {
  std::unique_ptr<RawRowReader> reader(new RawRowReader(source, std::move(name), line_bytes_max));
  auto start = reader->lines_.peek(4096);
  if (!start) {
    if (start.error().where.empty()) start.error().where = reader->name_;
    return fail(start.error());
  }
  if (TRY(rows::format_of(reader->name_, *start)) == rows::Format::csv) reader->csv_.emplace(reader->lines_, reader->name_, line_bytes_max);
  return reader;
}

Result<std::optional<RawRow>> RawRowReader::next() {
  auto row = csv_ ? next_record() : next_line();
  if (!row && row.error().where.empty()) row.error().where = name_;
  return row;
}

Result<std::optional<RawRow>> RawRowReader::next_line() {
  while (const auto line = TRY(lines_.next())) {
    last_line_ = line->number;
    if (line->left_out == 0 && rows::is_blank(line->text)) continue;  // blank lines hold nothing
    RawRow row;
    row.line = line->number;
    row.text = line->text;
    row.left_out = line->left_out;
    return row;
  }
  return std::nullopt;
}

Result<std::optional<RawRow>> RawRowReader::next_record() {
  rows::CsvRecord record;
  const auto more = csv_->next(record);
  if (!more && !is_broken_record(more.error())) return fail(more.error());
  if (more && !*more) return std::nullopt;
  RawRow row;
  row.is = RawRow::Is::record;
  if (!more) {
    row.broken = more.error();
  } else if (columns_ == nullptr) {
    row.is = RawRow::Is::header;
    auto read = rows::CsvColumns::read(record, name_);
    if (read) columns_ = std::make_shared<const rows::CsvColumns>(std::move(*read));
    else row.broken = read.error();
  }
  row.columns = columns_;
  row.line = last_line_ = record.line;
  row.text = std::move(record.raw);
  row.fields = std::move(record.fields);
  return row;
}

}  // namespace redoubt::stages::data
