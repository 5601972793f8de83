// SPDX-License-Identifier: Apache-2.0
//
// redoubt model merge: a model and its adapter as one model, written by the engine in the sandbox.
#include <fmt/format.h>

#include "base/file.h"
#include "base/new_folder.h"
#include "cli/commands.h"
#include "cli/engine_job.h"
#include "cli/signals_held.h"
#include "model_scan/model_scan.h"
#include "vault/job_files.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLineageName = "lineage.json";
constexpr std::uint64_t kRoomBytes = 4ull << 30;  // beside the weights: the engine itself, and one weight in fp32 and its update

struct MergeOptions {
  std::string model, adapter, output;
};

// What is no model's file, or could run when it is loaded, is merged with nothing.
Status refuse_unsafe(const std::string& folder) {
  const auto report = TRY(model_scan::scan_model(fs::path(folder)));
  if (report.safe()) return {};
  const auto& first = report.findings.front();
  return fail(ErrorCode::gate_refused, fmt::format("{} is not safe to read: {} ({})", folder, first.detail, first.kind), (fs::path(folder) / first.path).string(), "see 'redoubt model scan " + folder + "'");
}

// Which contents the merged model is made of, by the digests that `eval` and a workspace give them.
Result<Json> lineage_of(const provider::JobSpec& spec) {
  return Json{{"version", 1}, {"merged", {{"model", TRY(vault::artifact_digest("model", spec.channels.at("model"))).tagged()}, {"adapter", TRY(vault::artifact_digest("adapter", spec.channels.at("adapter"))).tagged()}}}};
}

// The folder is there whole or not at all: a signal waits until it is in its place, or until the plain files are gone.
Status put_in_place(const std::vector<provider::JobFile>& files, const Json& lineage, const std::string& output) {
  const SignalsHeld signals;
  auto folder = TRY(NewFolder::create(output));
  TRY(write_files(files, folder.path()));
  TRY(write_file(folder.path() / kLineageName, lineage.dump(2) + "\n", FileMode::readable_by_all));
  if (signals.any_pending()) return fail(ErrorCode::unavailable, "the merge was interrupted", output, "run it again");
  return folder.commit();
}

Result<int> merge(Invocation& invocation, const MergeOptions& options, const Output& output) {
  if (is_there(options.output) && !TRY(list_folder(options.output)).empty()) return fail(ErrorCode::already_exists, "the output folder is not empty", options.output, "name a new folder");
  for (const auto& folder : {options.model, options.adapter}) {
    if (!is_folder(folder)) return fail(ErrorCode::not_found, "no such folder", folder, "name a model's folder, then an adapter's");
    TRY(refuse_unsafe(folder));
  }
  provider::JobSpec spec;
  spec.entry_point = "merge";
  spec.channels = {{"model", TRY(model_files(options.model))}, {"adapter", TRY(model_files(options.adapter))}};
  const auto bytes = TRY(vault::bytes_of(spec.channels.at("model")));
  spec.output_bytes_max = bytes + kRoomBytes;
  spec.memory_bytes_max = std::max(spec.memory_bytes_max, bytes + kRoomBytes);
  const Json lineage = TRY(lineage_of(spec));

  EngineJobHandler handler(invocation.progress, "merge");
  handler.keep_model = [&](const auto& files) { return put_in_place(files, lineage, options.output); };
  const Json result = TRY(run_engine_job(std::move(spec), handler, invocation.progress, "merging"));
  Json told = lineage["merged"];
  told.update({{"folder", options.output}, {"weights", json_or(result, "merged", std::int64_t{0})}, {"digest", TRY(vault::artifact_digest("model", TRY(model_files(options.output)))).tagged()}});
  output.result(told, fmt::format("the model is in {}: {} weights have the adapter in them", options.output, json_or(result, "merged", std::int64_t{0})));
  return 0;
}

}  // namespace

void add_merge_command(CLI::App& group, Invocation& invocation) {
  auto options = std::make_shared<MergeOptions>();
  CLI::App* command = add_command(group, invocation, "merge", "Writes a model and its adapter as one model", [&invocation, options](const Output& output) { return merge(invocation, *options, output); });
  command->add_option("model", options->model, "the base's folder")->required();
  command->add_option("adapter", options->adapter, "a PEFT adapter's folder, made for that base")->required();
  command->add_option("-o,--output", options->output, "a new folder")->required();
}

}  // namespace redoubt::cli
