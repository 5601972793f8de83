// SPDX-License-Identifier: Apache-2.0
//
// redoubt data check.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/report_format.h"
#include "pipeline/data_policy.h"
#include "stages/data/check.h"
#include "stages/data/report_page.h"

namespace redoubt::cli {
namespace {

using stages::data::Action;
using stages::data::DataCheck;
using stages::data::DataReport;

struct DataCheckOptions {
  std::vector<std::string> files, accept;
  std::string policy, held_out, question = "user", clean, page;
  ReportFormat format;
};

Result<stages::data::CheckOptions> check_options(const DataCheckOptions& options) {
  stages::data::CheckOptions check;
  if (!options.policy.empty()) check.policy = TRY(pipeline::load_data_policy(options.policy));
  if (auto accepted = check.policy.accept(options.accept); !accepted) {
    accepted.error().where = "--accept";
    return fail(std::move(accepted.error()));
  }
  check.question = options.question == "user" ? rows::Question::user : rows::Question::prompt;
  return check;
}

// Files are read twice where a clean one is written: what is written is what was checked, or nothing is.
Status write_clean(const DataCheckOptions& options, DataCheck& check, const DataReport& report) {
  const auto out = TRY(AtomicFile::create(options.clean));
  for (std::size_t i = 0; i < report.files.size(); ++i) {
    const auto file = TRY(FileReader::open_regular(options.files[i]));
    const auto rows = TRY(check.clean(*file, i));
    TRY(copy(*rows, *out));
  }
  return out->commit();
}

std::string summary_of(const DataReport& report, const DataCheckOptions& options, std::uint64_t shared) {
  std::uint64_t findings = 0, redacted = 0;
  for (const auto& [kind, count] : report.counts) findings += count;
  for (const auto& [kind, count] : report.redacted) redacted += count;
  std::string text = fmt::format("{} rows, {} findings, {} of {} bytes read\n", report.rows, findings, report.bytes_read, report.bytes_total);
  if (report.dropped_rows > 0 || redacted > 0) text += fmt::format("{} rows to drop, {} places to redact\n", report.dropped_rows, redacted);
  if (!options.held_out.empty()) text += fmt::format("{} questions of {} stand in {} too\n", shared, options.held_out, fmt::join(options.files, ", "));
  return text;
}

// The file that is checked stays as it is.
Status check_output(const DataCheckOptions& options) {
  for (const auto& file : options.files) {
    for (const auto& output : {options.clean, options.page}) {
      std::error_code ignored;
      if (!output.empty() && std::filesystem::equivalent(file, output, ignored))
        return fail(ErrorCode::invalid_argument, "the output is one of the files that are checked", output, "name another file");
    }
  }
  return {};
}

Result<int> check(const DataCheckOptions& options, const Output& output) {
  TRY(check_output(options));
  const auto check = TRY(DataCheck::create(TRY(check_options(options))));
  if (!options.held_out.empty()) {
    const auto held_out = TRY(FileReader::open_regular(options.held_out));
    TRY(check->hold_out(*held_out, options.held_out));
  }
  for (const auto& name : options.files) {
    const auto file = TRY(FileReader::open_regular(name));
    TRY(check->read(*file, file->size(), name));
  }
  const auto report = TRY(check->finish());
  const auto* blocking = report.first_blocking();
  if (blocking == nullptr && !options.clean.empty()) TRY(write_clean(options, *check, report));
  if (!options.page.empty()) TRY(write_file(options.page, report_page(report), FileMode::readable_by_all));
  Table table{{"KIND", "SEVERITY", "ACTION", "PLACE", "DETAIL"}, {}};
  for (const auto& finding : report.findings) {
    table.rows.push_back({finding.kind, severity_of(finding), to_string(finding.action), fmt::format("{}:{}:{}", finding.file, finding.line, finding.column), finding.detail});
  }
  Json json = report.to_json();
  if (!options.held_out.empty()) json["shared_questions"] = check->shared_questions();
  if (!options.clean.empty()) json["clean"] = blocking == nullptr ? Json(options.clean) : Json();
  TRY(write_report(output, options.format, json, (table.rows.empty() ? "" : render(table)) + summary_of(report, options, check->shared_questions()), [&] { return report.to_sarif(); }));
  if (blocking == nullptr) return 0;
  output.say(fmt::format("redoubt: refused because of {} at {}:{}: {}", blocking->kind, blocking->file, blocking->line, blocking->detail));
  if (blocking->kind == "LEAKED_QUESTION") output.say("redoubt: an evaluation would ask what was trained; divide the rows with 'redoubt data split'");
  return exit_code_of(ErrorCode::gate_refused);
}

}  // namespace

void add_data_check_command(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<DataCheckOptions>();
  CLI::App* command = add_command(group, invocation, "check", "Names malformed rows, secrets, personal data, duplicates, leakage; exit status 3 when it must not be used",
                                  [options](const Output& output) { return check(*options, output); });
  command->add_option("files", options->files, "JSON lines or CSV; several are looked at as one set of rows")->required();
  command->add_option("--policy", options->policy, "what is looked for and what is done about it (YAML, see docs/data.md)");
  command->add_option("--accept", options->accept, "kinds of findings that do not refuse the files");
  command->add_option("--held-out", options->held_out, "rows to evaluate on; what of them stands in the files is a finding");
  command->add_option("--question", options->question, "what makes two rows the same: user (the user's first message) or prompt (all before the answer)")
      ->check(CLI::IsMember({"user", "prompt"}));
  command->add_option("-o,--output", options->clean, "the rows as the policy leaves them, as JSON lines; not written when the files are refused");
  command->add_option("--report", options->page, "the findings as a page to read (HTML)");
  add_report_format(*command, options->format);
}

}  // namespace redoubt::cli
