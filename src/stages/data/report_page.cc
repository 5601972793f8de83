// SPDX-License-Identifier: Apache-2.0
#include "stages/data/report_page.h"

#include <fmt/format.h>

#include "base/terminal.h"
#include "base/utf8.h"

namespace redoubt::stages::data {
namespace {

constexpr const char* kHead = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Data check</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem; color: #1a1a1a; background: #fff; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 0 0 2rem; min-width: 50%; }
caption { text-align: left; font-weight: bold; font-size: 1.2rem; padding: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #767676; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.verdict { font-size: 1.2rem; border-left: .4rem solid; padding: .5rem 1rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { body { color: #e8e8e8; background: #161616; } }
</style>
</head>
<body>
<main>
<h1>Data check</h1>
)";

std::string escaped(const std::string& text) {
  std::string valid, out;  // the name of a file may hold any bytes
  if (append_lossy(valid, text) < text.size()) valid += kReplacement;
  for (const char c : without_control_characters(std::move(valid))) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out.push_back(c);
    }
  }
  return out;
}

struct Column {
  const char* name;
  bool is_number = false;
};

// Cells are escaped here and nowhere before.
class HtmlTable {
 public:
  HtmlTable(const char* caption, std::vector<Column> columns) : columns_(std::move(columns)) {
    out_ = fmt::format("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\"><table><caption>{0}</caption>\n<thead><tr>", caption);
    for (const auto& column : columns_) out_ += fmt::format("<th scope=\"col\"{}>{}</th>", column.is_number ? " class=\"number\"" : "", column.name);
    out_ += "</tr></thead>\n<tbody>\n";
  }
  void row(const std::vector<std::string>& cells) {
    out_ += "<tr>";
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const char* tag = i == 0 ? "th scope=\"row\"" : columns_[i].is_number ? "td class=\"number\"" : "td";
      out_ += fmt::format("<{}>{}</{}>", tag, escaped(cells[i]), i == 0 ? "th" : "td");
    }
    out_ += "</tr>\n";
  }
  std::string end() { return out_ + "</tbody></table></div>\n"; }

 private:
  std::vector<Column> columns_;
  std::string out_;
};

std::string verdict(const DataReport& report) {
  const Finding* blocking = report.first_blocking();
  if (blocking == nullptr) return "<p class=\"verdict\"><strong>Passed.</strong> Nothing that was found refuses the data.</p>\n";
  return fmt::format("<p class=\"verdict\"><strong>Refused</strong> because of {} at {}.</p>\n", escaped(blocking->kind),
                     escaped(fmt::format("{}, line {}, column {}", blocking->file, blocking->line, blocking->column)));
}

std::string files_table(const DataReport& report) {
  HtmlTable table("Files", {{"File"}, {"Rows", true}, {"Bytes read", true}, {"Bytes in the file", true}});
  for (const auto& file : report.files) table.row({file.name, std::to_string(file.rows), std::to_string(file.bytes_read), std::to_string(file.bytes_total)});
  return table.end();
}

std::string kinds_table(const DataReport& report) {
  HtmlTable table("Kinds of findings", {{"Kind"}, {"Found", true}, {"Redacted", true}, {"Dropped", true}, {"What it is"}});
  const auto count_in = [](const std::map<std::string, std::uint64_t>& counts, const std::string& kind) {
    const auto found = counts.find(kind);
    return std::to_string(found == counts.end() ? 0 : found->second);
  };
  for (const auto& [kind, count] : report.counts) {
    const Kind* known = find_kind(kind);
    table.row({kind, std::to_string(count), count_in(report.redacted, kind), count_in(report.dropped, kind), known == nullptr ? "of a word list" : known->meaning});
  }
  return table.end();
}

std::string findings_table(const DataReport& report) {
  HtmlTable table("Findings by place", {{"Place"}, {"Kind"}, {"Severity"}, {"Done about it"}, {"Detail"}});
  for (const auto& finding : report.findings)
    table.row({fmt::format("{}:{}:{}", finding.file, finding.line, finding.column), finding.kind, severity_of(finding), to_string(finding.action), finding.detail});
  return table.end();
}

}  // namespace

std::string report_page(const DataReport& report) {
  std::string page = kHead + verdict(report);
  page += fmt::format("<p>{} rows, {} to be left out; {} of {} bytes read. Places are file, line and column, which counts the bytes of the line from 1. "
                      "What was found is never repeated: a keyed hash tells equal texts of this report apart.</p>\n",
                      report.rows, report.dropped_rows, report.bytes_read, report.bytes_total);
  page += files_table(report);
  if (!report.counts.empty()) page += kinds_table(report) + findings_table(report);
  if (!report.languages.empty()) {
    HtmlTable languages("Languages", {{"Language"}, {"Rows", true}});
    for (const auto& [language, rows] : report.languages) languages.row({language, std::to_string(rows)});
    page += languages.end();
  }
  return page + "<h2>How it was looked for</h2>\n<pre>" + escaped(report.policy.dump(2)) + "</pre>\n</main>\n</body>\n</html>\n";
}

}  // namespace redoubt::stages::data
