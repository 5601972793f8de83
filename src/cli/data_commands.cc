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
  std::string file, folder, held_out, question = "user";
  std::vector<std::string> accept;
  double eval_fraction = 0.1;
  std::uint64_t seed = 7;
};

rows::Question question_of(const Options& options) { return options.question == "user" ? rows::Question::user : rows::Question::prompt; }

Result<std::uint64_t> shared_questions(const Options& options) {
  const auto ours = TRY(FileReader::open_regular(options.file)), theirs = TRY(FileReader::open_regular(options.held_out));
  return stages::data::shared_questions(*ours, options.file, *theirs, options.held_out, question_of(options));
}

Result<int> check(const Options& options, const Output& output) {
  const auto report = TRY(stages::data::check_data(options.file));
  const auto* blocking = report.first_blocking(options.accept);
  Table table{{"KIND", "SEVERITY", "PLACE", "DETAIL"}, {}};
  for (const auto& finding : report.findings) {
    table.rows.push_back({finding.kind, to_string(finding.severity), fmt::format("{}:{}:{}", finding.file, finding.line, finding.column), finding.detail});
  }
  const std::string summary = fmt::format("{} rows, {} findings, {} of {} bytes read\n", report.rows, report.findings.size(), report.bytes_read, report.bytes_total);
  Json json = report.to_json();
  std::string leaks;
  const auto shared = options.held_out.empty() ? 0 : TRY(shared_questions(options));
  if (!options.held_out.empty()) {
    json["shared_questions"] = shared;
    leaks = fmt::format("{} questions of {} stand in {} too\n", shared, options.held_out, options.file);
  }
  output.result(json, (table.rows.empty() ? "" : render(table)) + summary + leaks);
  if (blocking == nullptr && shared == 0) return 0;
  if (blocking == nullptr) output.say("redoubt: refused because an evaluation would ask what was trained; divide the rows with 'redoubt data split'");
  else output.say(fmt::format("redoubt: refused because of {} at {}:{}: {}", blocking->kind, blocking->file, blocking->line, blocking->detail));
  return exit_code_of(ErrorCode::gate_refused);
}

Result<stages::data::SplitCounts> write_sides(FileReader& file, const Options& options, const std::filesystem::path& folder) {
  const auto train = TRY(AtomicFile::create(folder / "train.jsonl")), eval = TRY(AtomicFile::create(folder / "eval.jsonl"));
  const auto counts = TRY(stages::data::split_rows(file, options.file, {options.eval_fraction, options.seed, question_of(options)}, *train, *eval));
  TRY(train->commit());
  TRY(eval->commit());
  return counts;
}

Result<int> split(const Options& options, const Output& output) {
  const auto file = TRY(FileReader::open_regular(options.file));
  const std::filesystem::path folder = options.folder;
  const bool stood = std::filesystem::exists(folder);
  TRY(make_folder(folder));
  auto written = write_sides(*file, options, folder);
  std::error_code ignored;  // a folder that somebody put something into stays
  if (!written && !stood) std::filesystem::remove(folder, ignored);
  const auto counts = TRY(std::move(written));
  output.result({{"train", counts.kept}, {"eval", counts.held_out}, {"folder", options.folder}},
                fmt::format("{} rows in {}, {} in {}", counts.kept, (folder / "train.jsonl").string(), counts.held_out, (folder / "eval.jsonl").string()));
  return 0;
}

}  // namespace

void add_data_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("data", "Training data: what is in it, and its two sides")->require_subcommand(1);
  auto options = std::make_shared<Options>();
  CLI::App* check_command = add_command(*group, invocation, "check", "Names malformed rows, secrets, personal data, duplicates; exit status 3 when it must not be used",
                                        [options](const Output& output) { return check(*options, output); });
  check_command->add_option("file", options->file, "JSON lines or CSV")->required();
  check_command->add_option("--accept", options->accept, "kinds of findings that do not refuse the file");
  check_command->add_option("--held-out", options->held_out, "rows to evaluate on; exit status 3 when a question of them stands in the file");
  CLI::App* split_command = add_command(*group, invocation, "split", "Divides rows so that no question stands on both sides",
                                        [options](const Output& output) { return split(*options, output); });
  split_command->add_option("file", options->file, "JSON lines or CSV")->required();
  split_command->add_option("--eval", options->eval_fraction, "share of the questions to hold out");
  split_command->add_option("--seed", options->seed, "of the division")->check(CLI::NonNegativeNumber);
  for (CLI::App* command : {check_command, split_command}) {
    command->add_option("--question", options->question, "what makes two rows the same: user (the user's first message) or prompt (all before the answer)")
        ->check(CLI::IsMember({"user", "prompt"}));
  }
  split_command->add_option("-o,--output", options->folder, "folder for train.jsonl and eval.jsonl")->required();
}

}  // namespace redoubt::cli
