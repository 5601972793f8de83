// SPDX-License-Identifier: Apache-2.0
#include "rows/reader.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/ends_with_any.h"

namespace redoubt::rows {
namespace {

constexpr std::size_t kStartBytes = 4096;
constexpr std::array kColumns = {"messages", "prompt", "instruction", "text", "question", "choices", "chosen"};

struct Foreign {
  std::string_view start, name, cure;
};
constexpr Foreign kForeign[] = {
    {"PAR1", "Parquet", "python3 -c \"import pandas; pandas.read_parquet('data.parquet').to_json('data.jsonl', orient='records', lines=True, force_ascii=False)\""},
    {"ARROW1", "Arrow", "python3 -c \"import pandas; pandas.read_feather('data.arrow').to_json('data.jsonl', orient='records', lines=True, force_ascii=False)\""},
    {"\x1f\x8b", "gzip", "gunzip it first"},
    {"\x28\xb5\x2f\xfd", "Zstandard", "unzstd it first"},
    {"BZh", "bzip2", "bunzip2 it first"},
    {"PK\x03\x04", "a zip archive or a spreadsheet", "unzip it, or save the sheet as CSV (UTF-8)"},
    {"SQLite format 3", "an SQLite database", "sqlite3 data.db '.mode json' 'select ...' | jq -c '.[]'"},
};

// Whether the first line names one of our columns and is no JSON.
bool looks_like_header(std::string_view start) {
  start.remove_prefix(std::min(start.find_first_not_of(" \t\r\n"), start.size()));
  std::string_view line = start.substr(0, start.find_first_of("\r\n"));
  while (!line.empty()) {
    const auto end = std::min(line.find(','), line.size());
    auto cell = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    if (cell.size() > 1 && cell.starts_with('"') && cell.ends_with('"')) cell = cell.substr(1, cell.size() - 2);
    if (std::find(kColumns.begin(), kColumns.end(), cell) != kColumns.end()) return true;
  }
  return false;
}

// What a cell is read as. An answer of a preference is a list of messages, or a text, which may well begin as JSON does.
Result<Json> value_of(std::string_view column, const std::string& text, const std::string& where) {
  if ((column == "messages" || column == "choices") && (text.starts_with('[') || text.starts_with('{'))) return parse_json(text, where + ": " + std::string(column));
  const auto inside = text.starts_with('[') ? text.find_first_not_of(" \t\r\n", 1) : text.npos;
  if ((column == "chosen" || column == "rejected") && inside != text.npos && text[inside] == '{') {
    auto value = TRY(parse_json(text, where));
    if (std::ranges::all_of(value, [](const Json& message) { return message.is_object() && message.contains("role"); })) return value;
  }
  const bool is_place = column == "answer" && !text.empty() && text.size() < 6 && text.find_first_not_of("0123456789") == text.npos;
  return is_place ? Json(std::stoul(text)) : Json(text);
}

}  // namespace

Result<Format> format_of(std::string_view name, std::string_view start) {
  for (const auto& foreign : kForeign) {
    if (start.starts_with(foreign.start))
      return fail(ErrorCode::unsupported, std::string(foreign.name) + " is not read", std::string(name), std::string("convert it: ") + std::string(foreign.cure));
  }
  if (start.starts_with(kByteOrderMark)) start.remove_prefix(kByteOrderMark.size());
  const auto first = start.find_first_not_of(" \t\r\n");
  if (first != start.npos && start[first] == '{') return Format::json_lines;
  if (first != start.npos && start[first] == '[' && ends_with_any(name, {".json"}))
    return fail(ErrorCode::unsupported, "one JSON array is not read", std::string(name), "convert it to a line a row: jq -c '.[]' data.json > data.jsonl");
  if (ends_with_any(name, {".yml", ".yaml"}))
    return fail(ErrorCode::unsupported, "YAML is not read", std::string(name),
                "convert it to a line a row: python3 -c \"import json, yaml; [print(json.dumps({'prompt': c[0], 'completion': c[1]})) for c in yaml.safe_load(open('data.yml'))['conversations']]\"");
  if (ends_with_any(name, {".parquet", ".arrow", ".feather", ".xlsx", ".xls"}))
    return fail(ErrorCode::unsupported, "this kind of file is not read", std::string(name), "convert it to JSON lines or CSV");
  return ends_with_any(name, {".csv", ".CSV"}) || looks_like_header(start) ? Format::csv : Format::json_lines;
}

Result<CsvColumns> CsvColumns::read(const CsvRecord& header, const std::string& name) {
  CsvColumns columns;
  std::set<std::string> seen;
  bool known = false;
  const auto bad = [&](std::string what) {
    return fail(ErrorCode::invalid_argument, std::move(what), name + ": line " + std::to_string(header.line),
                "the first record names the columns as the members of a row: prompt,completion or instruction,input,output or text or messages");
  };
  for (const auto& field : header.fields) {
    columns.names_.push_back(field.text);
    const auto& column = columns.names_.back();
    if (!seen.insert(column).second) return bad("column " + std::to_string(columns.names_.size()) + " has the name of another");
    known = known || std::find(kColumns.begin(), kColumns.end(), column) != kColumns.end();
  }
  if (!known) return bad("no column of the header is a member of a row");
  return columns;
}

Result<Json> CsvColumns::row(const CsvRecord& record, const std::string& name) const {
  const std::string where = name + ": line " + std::to_string(record.line);
  if (record.fields.size() != names_.size()) {
    return fail(ErrorCode::invalid_argument, "a record of " + std::to_string(record.fields.size()) + " fields where the header has " + std::to_string(names_.size()), where,
                "a field with a comma, a quote or a line break stands in quotes (RFC 4180)");
  }
  Json row = Json::object();
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const auto& text = record.fields[i].text;
    if (names_[i] == "input" && text.empty()) continue;
    row[names_[i]] = TRY(value_of(names_[i], text, where));
  }
  // A number that is no place is the text of a choice.
  const Json choices = json_or(row, "choices", Json());
  if (const Json answer = json_or(row, "answer", Json()); answer.is_number() && choices.is_array() && answer >= choices.size())
    row["answer"] = record.fields[static_cast<std::size_t>(std::ranges::find(names_, "answer") - names_.begin())].text;
  return row;
}

std::string CsvColumns::text(const CsvRecord& record, const Json& row) const {
  std::string text;
  for (const auto& [name, value] : row.items()) {
    const auto column = static_cast<std::size_t>(std::ranges::find(names_, name) - names_.begin());
    auto cell = value.is_structured() ? record.fields[column].text : dump_json(value);
    std::ranges::replace_if(cell, [](char c) { return c == '\n' || c == '\r'; }, ' ');  // between members: a text has none that is not escaped
    text += (text.empty() ? "{" : ",") + dump_json(name) + ":" + cell;
  }
  return text + (text.empty() ? "{}" : "}");
}

Result<Row> row_of(const NumberedRow& row) { return row_of(row.value, row.where, row.text); }

Result<std::unique_ptr<RowReader>> RowReader::open(Source& source, std::string name, std::uint64_t row_bytes_max) {
  std::unique_ptr<RowReader> reader(new RowReader(source, std::move(name), row_bytes_max));
  reader->format_ = TRY(format_of(reader->name_, TRY(reader->lines_.peek(kStartBytes))));
  if (reader->format_ == Format::csv) {
    reader->csv_.emplace(reader->lines_, reader->name_, row_bytes_max);
    CsvRecord header;
    if (TRY(reader->csv_->next(header))) reader->columns_ = TRY(CsvColumns::read(header, reader->name_));
  }
  return reader;
}

Result<std::optional<NumberedRow>> RowReader::next() { return format_ == Format::csv ? next_record() : next_line(); }

Result<std::optional<NumberedRow>> RowReader::next_record() {
  CsvRecord record;
  if (!columns_ || !TRY(csv_->next(record))) return std::nullopt;
  NumberedRow row;
  row.line = record.line;
  row.where = name_ + ": line " + std::to_string(record.line);
  row.value = TRY(columns_->row(record, name_));
  row.text = columns_->text(record, row.value);
  return row;
}

Result<std::optional<NumberedRow>> RowReader::next_line() {
  while (const auto line = TRY(lines_.next())) {
    NumberedRow row;
    row.line = line->number;
    row.where = name_ + ": line " + std::to_string(line->number);
    if (line->left_out > 0)
      return fail(ErrorCode::limit_exceeded, "a row of " + std::to_string(line->left_out) + " bytes, at most " + std::to_string(row_bytes_max_) + " are taken", row.where, "divide the row");
    if (is_blank(line->text)) continue;
    if (line->text.starts_with(kByteOrderMark))
      return fail(ErrorCode::invalid_argument, "a byte order mark", row.where, "save the file as UTF-8 without one");
    if (first_invalid_utf8(line->text) != line->text.npos) return fail(ErrorCode::invalid_argument, "not UTF-8", row.where, "save the file as UTF-8");
    row.text = line->text;
    row.value = TRY(parse_json(line->text, row.where, {.bytes_max = row_bytes_max_}));
    return row;
  }
  return std::nullopt;
}

}  // namespace redoubt::rows
