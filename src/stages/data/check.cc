// SPDX-License-Identifier: Apache-2.0
#include "stages/data/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "base/file.h"
#include "crypto/hash.h"
#include "rows/reader.h"
#include "stages/data/fold.h"
#include "stages/data/json_text.h"

namespace redoubt::stages::data {
namespace {

constexpr std::size_t kFindingsMax = 10'000;
constexpr std::uint64_t kFileBytesMax = 1ull << 40;

// The first eight bytes of a hash: enough to tell rows apart, and a wrong warning costs nothing.
std::uint64_t short_hash(std::string_view text) {
  const Digest digest = crypto::sha256(text);
  std::uint64_t bits = 0;
  std::memcpy(&bits, digest.value.data(), sizeof bits);
  return bits;
}

class Checker {
 public:
  Checker(std::string file, const CheckOptions& options, const Detectors& detectors)
      : file_(std::move(file)), options_(options), detectors_(detectors) {}

  void line(const rows::Line& line) {
    place_ = {line.number, {}};
    const auto text = line.text;
    if (line.left_out > 0) return endless_row(line.left_out);
    if (rows::is_blank(text)) return;  // blank lines hold nothing
    ++report.rows;
    if (text.starts_with(rows::kByteOrderMark)) add("MALFORMED_JSON", Severity::error, 1, "a byte order mark; save the file as UTF-8 without one");
    check_length(text);
    if (const auto bad = rows::first_invalid_utf8(text); bad != text.npos) {
      add("INVALID_UTF8", Severity::error, bad + 1, "not UTF-8 from here on");
      scan_raw(text);
      return;
    }
    const auto row = parse_json(text, file_, {.bytes_max = 1 << 30});
    if (!row) {
      // A message about a key would repeat it.
      const bool names_key = row.error().message.starts_with("the key ");
      add("MALFORMED_JSON", Severity::error, 0, names_key ? "a key stands twice in one object" : row.error().message);
      scan_raw(text);
      return;
    }
    check_row(*row);
    for (const auto& literal : string_literals(text)) scan(literal.text, literal.raw_offset);
  }

  void record(const rows::CsvRecord& record, const rows::CsvColumns& columns) {
    place_ = {record.line, record.raw};
    ++report.rows;
    check_length(record.raw);
    const auto row = columns.row(record, file_);
    if (row) check_row(*row);
    else add("MALFORMED_CSV", Severity::error, 0, row.error().message);
    for (const auto& field : record.fields) scan(field);
  }

  void header(const rows::CsvRecord& record, const Result<rows::CsvColumns>& columns) {
    place_ = {record.line, record.raw};
    if (!columns) add("SCHEMA", Severity::error, 0, columns.error().message);
    for (const auto& field : record.fields) scan(field);
  }

  // A record that does not read as one.
  void broken_record(const rows::CsvRecord& record, const Error& error) {
    place_ = {record.line, record.raw};
    ++report.rows;
    if (error.code == ErrorCode::limit_exceeded) {
      add("LONG_ROW", Severity::error, 0, error.message);
      add("UNSCANNABLE", Severity::error, 0, "the row is too long to be looked at");
      return;
    }
    const auto bad = rows::first_invalid_utf8(record.raw);
    add(bad == record.raw.npos ? "MALFORMED_CSV" : "INVALID_UTF8", Severity::error, 0, error.message);
    scan_raw(record.raw);
  }

  void end() {
    if (report.rows == 0) add("EMPTY_FILE", Severity::error, 0, "the file holds no row");
  }

  DataReport report;

 private:
  void add(std::string kind, Severity severity, std::uint64_t column, std::string detail) {
    if (report.findings.size() < kFindingsMax) {
      report.findings.push_back({std::move(kind), severity, file_, place_.line, column, std::move(detail)});
    } else if (report.findings.size() == kFindingsMax) {
      report.findings.push_back({"MORE_FINDINGS", Severity::error, file_, place_.line, 0, "there are more findings than are listed"});
    }
  }

  // A row that was too long to be kept.
  void endless_row(std::uint64_t bytes) {
    ++report.rows;
    add("LONG_ROW", Severity::error, 0, fmt::format("the row has {} bytes, at most {} are taken", bytes, options_.row_bytes_max));
    add("UNSCANNABLE", Severity::error, 0, "the row is too long to be looked at");
  }

  void check_length(std::string_view text) {
    if (text.size() > options_.row_bytes_max) add("LONG_ROW", Severity::error, 0, fmt::format("the row has {} bytes, at most {} are taken", text.size(), options_.row_bytes_max));
  }

  void check_row(const Json& value) {
    const auto row = rows::row_of(value, file_);
    if (!row) return add("SCHEMA", Severity::error, 0, row.error().message);
    if (const auto answer = folded(row->answer); answer && answer->empty()) add("EMPTY_ANSWER", Severity::error, 0, "the answer is empty");
    const auto [earlier, is_new] = seen_.try_emplace(short_hash(dump_json(value)), place_.line);
    if (!is_new) add("DUPLICATE", Severity::warning, 0, fmt::format("the same row as line {}", earlier->second));
  }

  // A cell may hold JSON, whose texts are looked at as a model would read them.
  void scan(const rows::CsvField& field) {
    const bool json = (field.text.starts_with('[') || field.text.starts_with('{')) && parse_json(field.text, file_);
    if (!json) return scan(field.text, field.raw_offset);
    for (auto literal : string_literals(field.text)) {
      for (auto& offset : literal.raw_offset) offset = field.raw_offset[offset];
      scan(literal.text, literal.raw_offset);
    }
  }

  void scan(std::string_view text, const std::vector<std::uint32_t>& raw_offset) {
    for (const auto& match : detectors_.scan(text)) add(match, text, raw_offset[match.offset]);
  }

  // A line that is no JSON is looked at as it stands, so that a broken row hides nothing.
  void scan_raw(std::string_view text) {
    std::string valid(text);
    std::size_t at = 0;
    for (std::size_t bad; (bad = rows::first_invalid_utf8(std::string_view(valid).substr(at))) != valid.npos; at += bad + 1) valid[at + bad] = '?';
    for (const auto& match : detectors_.scan(valid)) add(match, valid, match.offset);
  }

  void add(const Match& match, std::string_view text, std::size_t offset) {
    const auto hash = crypto::sha256(text.substr(match.offset, match.length)).hex().substr(0, 12);
    const auto before = place_.raw.substr(0, offset);  // of a record that goes over several lines
    const auto line_start = before.rfind('\n');
    const Place row = place_;
    place_.line += static_cast<std::uint64_t>(std::count(before.begin(), before.end(), '\n'));
    add(match.kind, match.severity, line_start == before.npos ? offset + 1 : offset - line_start, fmt::format("{} bytes, SHA-256 {}...", match.length, hash));
    place_ = row;
  }

  struct Place {
    std::uint64_t line = 0;
    std::string_view raw;  // of a record
  };

  std::string file_;
  const CheckOptions& options_;
  const Detectors& detectors_;
  Place place_ = {};  // of the row that is looked at
  std::unordered_map<std::uint64_t, std::uint64_t> seen_;
};

Status check_lines(rows::LineReader& lines, Checker& checker) {
  while (const auto line = TRY(lines.next())) checker.line(*line);
  return {};
}

bool is_broken_record(const Error& error) { return error.code == ErrorCode::invalid_argument || error.code == ErrorCode::limit_exceeded; }

Status check_records(rows::LineReader& lines, const std::string& name, std::uint64_t record_bytes_max, Checker& checker) {
  rows::CsvReader reader(lines, name, record_bytes_max);
  std::optional<rows::CsvColumns> columns;
  while (true) {
    rows::CsvRecord record;
    const auto more = reader.next(record);
    if (!more && !is_broken_record(more.error())) return fail(more.error());
    if (more && !*more) return {};
    if (!more) {
      checker.broken_record(record, more.error());
    } else if (columns) {
      checker.record(record, *columns);
    } else {
      auto read = rows::CsvColumns::read(record, name);
      checker.header(record, read);
      if (read) columns = std::move(*read);
    }
  }
}

}  // namespace

std::map<std::string, std::uint64_t> DataReport::by_kind() const {
  std::map<std::string, std::uint64_t> counts;
  for (const auto& finding : findings) ++counts[finding.kind];
  return counts;
}

const Finding* DataReport::first_blocking(const std::vector<std::string>& accept) const {
  const auto blocks = [&](const Finding& finding) {
    return finding.severity == Severity::error && std::find(accept.begin(), accept.end(), finding.kind) == accept.end();
  };
  const auto found = std::find_if(findings.begin(), findings.end(), blocks);
  return found == findings.end() ? nullptr : &*found;
}

Json DataReport::to_json() const {
  Json list = Json::array();
  for (const auto& f : findings) {
    list.push_back({{"kind", f.kind}, {"severity", to_string(f.severity)}, {"file", f.file}, {"line", f.line}, {"column", f.column}, {"detail", f.detail}});
  }
  return {{"rows", rows}, {"findings", std::move(list)}, {"bytes_read", bytes_read}, {"bytes_total", bytes_total}};
}

Result<DataReport> check_rows(Source& source, std::uint64_t bytes_total, const std::string& name, const CheckOptions& options) {
  if (bytes_total > kFileBytesMax) return fail(ErrorCode::limit_exceeded, "a data file of more than 1 TiB", name, "split it");
  const auto detectors = TRY(Detectors::create());
  Checker checker(name, options, *detectors);
  checker.report.bytes_total = bytes_total;
  const std::uint64_t bytes_max = 64 * options.row_bytes_max;
  rows::LineReader lines(source, bytes_max);
  const auto format = TRY(rows::format_of(name, TRY(lines.peek(4096))));
  auto read = format == rows::Format::csv ? check_records(lines, name, bytes_max, checker) : check_lines(lines, checker);
  checker.report.bytes_read = lines.bytes_read();
  if (!read) {
    if (read.error().where.empty()) read.error().where = name;
    return fail(read.error());
  }
  checker.end();
  return std::move(checker.report);
}

Result<DataReport> check_data(const std::filesystem::path& file, const CheckOptions& options) {
  const auto reader = TRY(FileReader::open_regular(file));
  return check_rows(*reader, reader->size(), file.string(), options);
}

}  // namespace redoubt::stages::data
