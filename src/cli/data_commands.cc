// SPDX-License-Identifier: Apache-2.0
//
// redoubt data: check, split.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/commands.h"
#include "stages/data/check.h"
#include "stages/data/split.h"

namespace redoubt::cli {
namespace {

struct Options {
  std::string file, folder;
  std::vector<std::string> accept;
  double eval_fraction = 0.1;
  std::uint64_t seed = 7;
};

Result<int> check(const Options& options, const Output& output) {
  const auto report = TRY(stages::data::check_data(options.file));
  const auto* blocking = report.first_blocking(options.accept);
  Table table{{"KIND", "SEVERITY", "PLACE", "DETAIL"}, {}};
  for (const auto& finding : report.findings) {
    table.rows.push_back({finding.kind, to_string(finding.severity), fmt::format("{}:{}:{}", finding.file, finding.line, finding.column), finding.detail});
  }
  const std::string summary = fmt::format("{} rows, {} findings, {} of {} bytes read\n", report.rows, report.findings.size(), report.bytes_read, report.bytes_total);
  output.result(report.to_json(), (table.rows.empty() ? "" : render(table)) + summary);
  if (blocking == nullptr) return 0;
  output.say(fmt::format("redoubt: refused because of {} at {}:{}: {}", blocking->kind, blocking->file, blocking->line, blocking->detail));
  return exit_code_of(ErrorCode::gate_refused);
}

Result<int> split(const Options& options, const Output& output) {
  const auto file = TRY(FileReader::open_regular(options.file));
  const std::string rows = to_text(TRY(read_all(*file, 8ull << 30)));
  const auto sides = TRY(stages::data::split_rows(rows, options.eval_fraction, options.seed, options.file));
  const std::filesystem::path folder = options.folder;
  TRY(make_folder(folder));
  TRY(write_file(folder / "train.jsonl", sides.kept));
  TRY(write_file(folder / "eval.jsonl", sides.held_out));
  output.result({{"train", sides.kept_rows}, {"eval", sides.held_out_rows}, {"folder", options.folder}},
                fmt::format("{} rows in {}, {} in {}", sides.kept_rows, (folder / "train.jsonl").string(), sides.held_out_rows, (folder / "eval.jsonl").string()));
  return 0;
}

}  // namespace

void add_data_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("data", "Training data: what is in it, and its two sides")->require_subcommand(1);
  auto options = std::make_shared<Options>();
  CLI::App* check_command = add_command(*group, invocation, "check", "Names malformed rows, secrets, personal data, duplicates; exit status 3 when it must not be used",
                                        [options](const Output& output) { return check(*options, output); });
  check_command->add_option("file", options->file, "JSON lines")->required();
  check_command->add_option("--accept", options->accept, "kinds of findings that do not refuse the file");
  CLI::App* split_command = add_command(*group, invocation, "split", "Divides rows so that no question stands on both sides",
                                        [options](const Output& output) { return split(*options, output); });
  split_command->add_option("file", options->file, "JSON lines")->required();
  split_command->add_option("--eval", options->eval_fraction, "share of the questions to hold out");
  split_command->add_option("--seed", options->seed, "of the division")->check(CLI::NonNegativeNumber);
  split_command->add_option("-o,--output", options->folder, "folder for train.jsonl and eval.jsonl")->required();
}

}  // namespace redoubt::cli
