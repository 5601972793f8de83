// SPDX-License-Identifier: Apache-2.0
#include "rows/csv.h"

#include <algorithm>

namespace redoubt::rows {
namespace {

// Whether the text ends inside a quoted field: quotes come in pairs outside one.
bool is_open(std::string_view raw) { return std::count(raw.begin(), raw.end(), '"') % 2 != 0; }

void put(CsvField& field, std::string_view raw, std::size_t at) {
  field.text.push_back(raw[at]);
  field.raw_offset.push_back(static_cast<std::uint32_t>(at));
}

}  // namespace

tl::unexpected<Error> CsvReader::bad(ErrorCode code, std::string what, std::uint64_t line) const {
  return fail(code, std::move(what), name_ + ": line " + std::to_string(line),
              "a field with a comma, a quote or a line break stands in quotes, and a quote in it is doubled (RFC 4180)");
}

Result<bool> CsvReader::next(CsvRecord& record) {
  record = {};
  bool open = false;
  while (const auto line = TRY(lines_.next())) {
    if (record.line == 0) {
      if (is_blank(line->text) && line->left_out == 0) continue;
      record.line = line->number;
    } else {
      record.raw.push_back('\n');
    }
    record.raw.append(line->text);
    if (line->left_out > 0 || record.raw.size() > record_bytes_max_)
      return bad(ErrorCode::limit_exceeded, "a record of more than " + std::to_string(record_bytes_max_) + " bytes", record.line);
    open = is_open(line->text) != open;
    if (!open) break;
  }
  if (record.line == 0) return false;
  if (open) return bad(ErrorCode::invalid_argument, "a quote is never closed", record.line);
  if (record.raw.ends_with('\r')) record.raw.pop_back();
  if (first_invalid_utf8(record.raw) != record.raw.npos)
    return bad(ErrorCode::invalid_argument, "not UTF-8", record.line);
  TRY(split(record));
  return true;
}

Status CsvReader::split(CsvRecord& record) const {
  const std::string_view raw = record.raw;
  const auto here = [&](std::size_t at) {
    return record.line + static_cast<std::uint64_t>(std::count(raw.begin(), raw.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  };
  std::size_t at = record.line == 1 && raw.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;  // it is no part of the first field
  while (true) {
    auto& field = record.fields.emplace_back();
    if (at < raw.size() && raw[at] == '"') {
      for (++at; at < raw.size(); ++at) {
        if (raw[at] == '"' && (at + 1 >= raw.size() || raw[at + 1] != '"')) break;
        if (raw[at] == '"') ++at;
        put(field, raw, at);
      }
      ++at;
      if (at < raw.size() && raw[at] != ',')
        return bad(ErrorCode::invalid_argument, "text after a closing quote", here(at));
    } else {
      for (; at < raw.size() && raw[at] != ','; ++at) {
        if (raw[at] == '"') return bad(ErrorCode::invalid_argument, "a quote in a field without quotes", here(at));
        put(field, raw, at);
      }
    }
    if (at >= raw.size()) return {};
    ++at;
  }
}

}  // namespace redoubt::rows
