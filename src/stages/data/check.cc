// SPDX-License-Identifier: Apache-2.0
#include "stages/data/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "base/file.h"
#include "crypto/hash.h"
#include "stages/data/fold.h"
#include "stages/data/json_text.h"

namespace redoubt::stages::data {
namespace {

constexpr std::size_t kFindingsMax = 10'000;
constexpr std::uint64_t kFileBytesMax = 8ull << 30;

bool is_text(const Json& row, const char* key) { return row.contains(key) && row[key].is_string(); }

// What is wrong with the form of a row; empty when nothing is.
std::string form_problem(const Json& row) {
  if (!row.is_object()) return "a row is a JSON object";
  if (row.contains("messages")) {
    const Json& messages = row["messages"];
    if (!messages.is_array() || messages.empty()) return "'messages' is a list of at least one message";
    for (const auto& message : messages) {
      if (!message.is_object() || !is_text(message, "role") || !is_text(message, "content")) return "a message has the texts 'role' and 'content'";
      const auto role = message["role"].get<std::string>();
      if (role != "system" && role != "user" && role != "assistant") return "a role is system, user or assistant";
    }
    if (messages.back()["role"] != "assistant") return "the last message is the assistant's answer";
    return "";
  }
  if (row.contains("prompt") || row.contains("completion")) {
    return is_text(row, "prompt") && is_text(row, "completion") ? "" : "'prompt' and 'completion' are both texts";
  }
  return is_text(row, "text") ? "" : "a row has 'messages', 'prompt' and 'completion', or 'text'";
}

std::string answer_of(const Json& row) {
  if (row.contains("messages")) return row["messages"].back()["content"];
  return row.contains("completion") ? row["completion"] : row["text"];
}

class Checker {
 public:
  Checker(std::string file, const CheckOptions& options, const Detectors& detectors)
      : file_(std::move(file)), options_(options), detectors_(detectors) {}

  void line(std::string_view text) {
    ++line_;
    if (text.find_first_not_of(" \t\r") == text.npos) return;  // blank lines hold nothing
    ++report.rows;
    if (text.starts_with(kByteOrderMark)) add("MALFORMED_JSON", Severity::error, 1, "a byte order mark; save the file as UTF-8 without one");
    if (text.size() > options_.row_bytes_max) add("LONG_ROW", Severity::error, 0, fmt::format("the row has {} bytes, at most {} are taken", text.size(), options_.row_bytes_max));
    if (const auto bad = first_invalid_utf8(text); bad != text.npos) {
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
    if (const auto problem = form_problem(*row); !problem.empty()) {
      add("SCHEMA", Severity::error, 0, problem);
    } else {
      check_row(*row);
    }
    scan(text);
  }

  // A line that was too long to be kept.
  void endless_line(std::uint64_t bytes) {
    ++line_;
    ++report.rows;
    add("LONG_ROW", Severity::error, 0, fmt::format("the row has {} bytes, at most {} are taken", bytes, options_.row_bytes_max));
    add("UNSCANNABLE", Severity::error, 0, "the row is too long to be looked at");
  }

  void end() {
    if (report.rows == 0) add("EMPTY_FILE", Severity::error, 0, "the file holds no row");
  }

  DataReport report;

 private:
  void add(std::string kind, Severity severity, std::uint64_t column, std::string detail) {
    if (report.findings.size() < kFindingsMax) {
      report.findings.push_back({std::move(kind), severity, file_, line_, column, std::move(detail)});
    } else if (report.findings.size() == kFindingsMax) {
      report.findings.push_back({"MORE_FINDINGS", Severity::error, file_, line_, 0, "there are more findings than are listed"});
    }
  }

  void check_row(const Json& row) {
    if (const auto answer = folded(answer_of(row)); answer && answer->empty()) add("EMPTY_ANSWER", Severity::error, 0, "the answer is empty");
    const auto [earlier, is_new] = seen_.try_emplace(crypto::sha256(dump_json(row)).hex(), line_);
    if (!is_new) add("DUPLICATE", Severity::warning, 0, fmt::format("the same row as line {}", earlier->second));
  }

  void scan(std::string_view text) {
    for (const auto& literal : string_literals(text)) {
      for (const auto& match : detectors_.scan(literal.text)) add(match, literal.text, literal.raw_offset[match.offset]);
    }
  }

  // A line that is no JSON is looked at as it stands, so that a broken row hides nothing.
  void scan_raw(std::string_view text) {
    std::string valid(text);
    std::size_t at = 0;
    for (std::size_t bad; (bad = first_invalid_utf8(std::string_view(valid).substr(at))) != valid.npos; at += bad + 1) valid[at + bad] = '?';
    for (const auto& match : detectors_.scan(valid)) add(match, valid, match.offset);
  }

  void add(const Match& match, std::string_view text, std::size_t offset_in_line) {
    const auto hash = crypto::sha256(text.substr(match.offset, match.length)).hex().substr(0, 12);
    add(match.kind, match.severity, offset_in_line + 1, fmt::format("{} bytes, SHA-256 {}...", match.length, hash));
  }

  std::string file_;
  const CheckOptions& options_;
  const Detectors& detectors_;
  std::uint64_t line_ = 0;
  std::unordered_map<std::string, std::uint64_t> seen_;
};

// Hands over each line without its newline; memory holds one line and one chunk. A line beyond the limit is left out, and said
// to be, but its bytes are counted and the lines after it are read.
Status for_each_line(Source& reader, std::uint64_t line_bytes_max, Checker& checker) {
  Bytes chunk(1 << 20);
  std::string rest;
  std::uint64_t left_out = 0;  // bytes of the line that is too long
  while (const std::size_t count = TRY(reader.read(chunk))) {
    checker.report.bytes_read += count;
    rest.append(reinterpret_cast<const char*>(chunk.data()), count);
    std::size_t from = 0;
    for (std::size_t end; (end = rest.find('\n', from)) != rest.npos; from = end + 1) {
      if (left_out > 0) {
        checker.endless_line(left_out + end);
        left_out = 0;
      } else {
        checker.line(std::string_view(rest).substr(from, end - from));
      }
    }
    rest.erase(0, from);
    if (left_out > 0 || rest.size() > line_bytes_max) {
      left_out += rest.size();
      rest.clear();
    }
  }
  if (left_out > 0) {
    checker.endless_line(left_out);
  } else if (!rest.empty()) {
    checker.line(rest);
  }
  return {};
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

Result<DataReport> check_rows(Source& rows, std::uint64_t bytes_total, const std::string& name, const CheckOptions& options) {
  if (bytes_total > kFileBytesMax) return fail(ErrorCode::limit_exceeded, "a data file of more than 8 GiB", name, "split it");
  const auto detectors = TRY(Detectors::create());
  Checker checker(name, options, *detectors);
  checker.report.bytes_total = bytes_total;
  if (auto read = for_each_line(rows, 64 * options.row_bytes_max, checker); !read) {
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

Result<std::string> question_of(const Json& row) {
  if (const auto problem = form_problem(row); !problem.empty()) return fail(ErrorCode::invalid_argument, problem);
  if (!row.contains("messages")) return folded(row.value(row.contains("prompt") ? "prompt" : "text", std::string()));
  std::string question;
  for (std::size_t i = 0; i + 1 < row["messages"].size(); ++i) question += row["messages"][i]["content"].get<std::string>() + "\n";
  return folded(question);
}

}  // namespace redoubt::stages::data
