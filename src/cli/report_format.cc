// SPDX-License-Identifier: Apache-2.0
#include "cli/report_format.h"

#include "base/file.h"

namespace redoubt::cli {

void add_report_format(CLI::App& command, ReportFormat& format) {
  command.add_option("--format", format.format, "how the report is printed: table, json (as --json) or sarif")->check(CLI::IsMember({"table", "json", "sarif"}));
  command.add_option("--sarif", format.sarif, "a file that gets the findings as SARIF 2.1.0; '-' prints them instead of the table");
}

Status write_report(const Output& output, const ReportFormat& format, const Json& json, const std::string& table, const std::function<sarif::Report()>& log) {
  const bool prints_sarif = format.format == "sarif" || format.sarif == "-";
  const bool prints_json = format.format == "json" || (output.json() && format.format.empty());
  const bool is_two_forms = (output.json() && (prints_sarif || format.format == "table")) || (format.sarif == "-" && prints_json) || (format.sarif == "-" && format.format == "table");
  if (is_two_forms) {
    return fail(ErrorCode::invalid_argument, "two forms of a report can't both be printed", "command line", "name one of --json, --format and '--sarif -'; '--sarif FILE' goes with each");
  }
  const bool writes_file = !format.sarif.empty() && format.sarif != "-";
  Json sarif;
  if (prints_sarif || writes_file) {
    sarif::Report report = log();
    report.version = REDOUBT_VERSION;
    sarif = sarif::to_log(std::move(report));
  }
  if (writes_file) TRY(write_file(format.sarif, sarif.dump(2, ' ', false, Json::error_handler_t::replace) + "\n", FileMode::readable_by_all));
  Output(prints_sarif || prints_json).result(prints_sarif ? sarif : json, table);
  return {};
}

}  // namespace redoubt::cli
