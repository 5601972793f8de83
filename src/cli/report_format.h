// SPDX-License-Identifier: Apache-2.0
//
// The options of every command that reports findings: --format table|json|sarif and --sarif FILE.
#pragma once

#include <functional>
#include <string>

#include "cli/command.h"
#include "sarif/sarif.h"

namespace redoubt::cli {

struct ReportFormat {
  std::string format;  // "table", "json" or "sarif"; empty: json with --json, else table
  std::string sarif;   // a file that gets the SARIF log beside what is printed; "-" is --format sarif
};

// `format` must live as long as the command line.
void add_report_format(CLI::App& command, ReportFormat& format);

// Prints the report in the form that was asked for, and writes the SARIF log where a file was named; `log` is made only then.
// invalid_argument, before anything is printed, for two forms at once; the errors of writing a file.
Status write_report(const Output& output, const ReportFormat& format, const Json& json, const std::string& table, const std::function<sarif::Report()>& log);

}  // namespace redoubt::cli
