// SPDX-License-Identifier: Apache-2.0
//
// redoubt data: check (in its own file), split.
#include <fmt/format.h>

#include "base/file.h"
#include "cli/commands.h"
#include "stages/data/split.h"

namespace redoubt::cli {
namespace {

struct DataSplitOptions {
  std::string file, folder, question = "user";
  double eval_fraction = 0.1;
  std::uint64_t seed = 7;
};

rows::Question question_of(const DataSplitOptions& options) { return options.question == "user" ? rows::Question::user : rows::Question::prompt; }

Result<stages::data::SplitCounts> write_sides(FileReader& file, const DataSplitOptions& options, const std::filesystem::path& folder) {
  const auto train = TRY(AtomicFile::create(folder / "train.jsonl")), eval = TRY(AtomicFile::create(folder / "eval.jsonl"));
  const auto counts = TRY(stages::data::split_rows(file, options.file, {options.eval_fraction, options.seed, question_of(options)}, *train, *eval));
  TRY(train->commit());
  TRY(eval->commit());
  return counts;
}

Result<int> split(const DataSplitOptions& options, const Output& output) {
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
  auto options = std::make_shared<DataSplitOptions>();
  add_data_check_command(*group, invocation);
  CLI::App* split_command = add_command(*group, invocation, "split", "Divides rows so that no question stands on both sides",
                                        [options](const Output& output) { return split(*options, output); });
  split_command->add_option("file", options->file, "JSON lines or CSV")->required();
  split_command->add_option("--eval", options->eval_fraction, "share of the questions to hold out");
  split_command->add_option("--seed", options->seed, "of the division")->check(CLI::NonNegativeNumber);
  split_command->add_option("--question", options->question, "what makes two rows the same: user (the user's first message) or prompt (all before the answer)")
      ->check(CLI::IsMember({"user", "prompt"}));
  split_command->add_option("-o,--output", options->folder, "folder for train.jsonl and eval.jsonl")->required();
}

}  // namespace redoubt::cli
