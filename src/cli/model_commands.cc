// SPDX-License-Identifier: Apache-2.0
//
// redoubt model pull, import, scan (merge is in merge_command.cc, sign and verify in signature_commands.cc).
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/report_format.h"
#include "cli/session.h"
#include "cli/signals_held.h"
#include "pipeline/config.h"
#include "stages/acquire/acquire.h"
#include "stages/acquire/gguf_import.h"
#include "stages/acquire/remote_scan.h"
#include "model_scan/model_scan.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;

struct ModelOptions {
  std::string repository, endpoint = "https://huggingface.co", ca_file, token_secret, path, output, policy;
  std::vector<std::string> allowed_hosts;
  std::uint64_t size_gib_max = 256;
  ReportFormat format;
};

// The hub that the command line names. The session must outlive it.
Result<stages::acquire::HubOptions> hub_of(const ModelOptions& options, Session* session) {
  stages::acquire::HubOptions hub;
  hub.endpoint = options.endpoint;
  hub.ca_file = options.ca_file;
  hub.allowed_hosts = options.allowed_hosts;
  if (options.token_secret.empty()) return hub;
  hub.token = TRY(session->secrets().get(options.token_secret));
  hub.read_token_again = [session, name = options.token_secret] { return session->secrets().get(name); };
  return hub;
}

Result<int> pull_model(Invocation& invocation, const ModelOptions& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::acquire));
  TRY(session->require(governance::Permission::run_pipeline));
  const auto lock = TRY(session->workspace().lock());
  stages::acquire::AcquireOptions acquire;
  const auto at = options.repository.find('@');
  acquire.repository = options.repository.substr(0, at);
  if (at != options.repository.npos) acquire.revision = options.repository.substr(at + 1);
  acquire.hub = TRY(hub_of(options, session.get()));
  acquire.bytes_max = options.size_gib_max << 30;
  if (!options.policy.empty()) acquire.signers = TRY(pipeline::load_signers(options.policy));
  acquire.now = session->clock().now();
  stages::acquire::AcquireDeps deps{session->store(), *TRY(session->recorder()), invocation.progress};
  const auto model = TRY(stages::acquire::acquire(acquire, deps));
  Json result = model.record().result;
  result["digest"] = TRY(model.output("model")).tagged();
  output.result(result, fmt::format("{} at {} is in the vault: {}", acquire.repository, json_or(result, "commit", ""), json_or(result, "digest", "")));
  return 0;
}

Result<int> import(Invocation& invocation, const ModelOptions& options, const Output& output) {
  // A signal waits until the plain files that are being written are gone; then it ends the process as it would have.
  const SignalsHeld signals;
  TRY(stages::acquire::import_gguf(options.path, options.output, invocation.progress, [&] { return signals.any_pending(); }));
  output.result({{"folder", options.output}}, "the model is in " + options.output);
  return 0;
}

// What stands on the disk is meant before a model of that name.
std::optional<stages::acquire::RemoteModel> remote_model(const std::string& path) {
  std::error_code error;
  if (fs::symlink_status(path, error).type() != fs::file_type::not_found) return std::nullopt;
  return stages::acquire::RemoteModel::parse(path);
}

Result<int> report_scan(const model_scan::ModelScan& report, const Json& json, const ModelOptions& options, const Output& output) {
  Table table{{"SEVERITY", "KIND", "PATH", "DETAIL"}, {}};
  for (const auto& finding : report.findings) table.rows.push_back({finding.severity, finding.kind, finding.member.empty() ? finding.path : finding.member, finding.detail});
  TRY(write_report(output, options.format, json, report.safe() ? fmt::format("safe: {} files, {} bytes", report.files, report.bytes) : render(table), [&] { return report.to_sarif(); }));
  return report.safe() ? 0 : exit_code_of(ErrorCode::gate_refused);
}

Result<int> scan_remote(Invocation& invocation, const stages::acquire::RemoteModel& model, const ModelOptions& options, const Output& output) {
  // Only a token needs a workspace.
  std::unique_ptr<Session> session;
  if (!options.token_secret.empty()) {
    session = TRY(Session::open(invocation.global, Duty::acquire));
    TRY(session->require(governance::Permission::run_pipeline));
  }
  const stages::acquire::HubClient hub(TRY(hub_of(options, session.get())));
  auto scanned = stages::acquire::scan_repository(hub, model, invocation.progress);
  if (!scanned && scanned.error().code == ErrorCode::not_found && model.repository == options.path.substr(0, options.path.find('@'))) {
    return fail(ErrorCode::not_found, fmt::format("no such file or folder, and {}", scanned.error().message), options.path, "name a folder, a file, or a model of the hub (--endpoint)");
  }
  const auto result = TRY(std::move(scanned));
  Json json = result.scan.to_json();
  json.update({{"repository", model.repository}, {"commit", result.commit}});
  return report_scan(result.scan, json, options, output);
}

Result<int> scan_model(Invocation& invocation, const ModelOptions& options, const Output& output) {
  if (const auto remote = remote_model(options.path)) return scan_remote(invocation, *remote, options, output);
  const auto report = TRY(model_scan::scan_model(fs::path(options.path)));
  return report_scan(report, report.to_json(), options, output);
}

void add_hub_options(CLI::App& command, ModelOptions& options) {
  command.add_option("--endpoint", options.endpoint, "the hub");
  command.add_option("--ca-file", options.ca_file, "PEM file of the hub's authority");
  command.add_option("--token-secret", options.token_secret, "name of the token in the secret store");
  command.add_option("--allow-host", options.allowed_hosts, "a host that the hub may redirect a download to; '*.example.com' is every host below it");
}

}  // namespace

void add_model_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<ModelOptions>();
  CLI::App* group = app.add_subcommand("model", "Models: pull, import, merge, scan, sign, verify")->require_subcommand(1);
  CLI::App* pull_command = add_command(*group, invocation, "pull", "Downloads a model from a hub into the vault", [&invocation, options](const Output& output) { return pull_model(invocation, *options, output); });
  pull_command->add_option("repository", options->repository, "OWNER/NAME[@REVISION]")->required();
  add_hub_options(*pull_command, *options);
  pull_command->add_option("--size-gib-max", options->size_gib_max, "largest model that is taken (default 256)")->check(CLI::Range(1, 1 << 20));
  pull_command->add_option("--policy", options->policy, "whose signature the model has to carry: a file as config/signers.yaml");
  CLI::App* import_command = add_command(*group, invocation, "import", "Turns a GGUF file into a Hugging Face folder", [&invocation, options](const Output& output) { return import(invocation, *options, output); });
  import_command->add_option("file", options->path, "a GGUF file of the Llama family")->required();
  import_command->add_option("-o,--output", options->output, "a new folder")->required();
  add_merge_command(*group, invocation);
  add_model_sbom_command(*group, invocation);
  CLI::App* scan_command = add_command(*group, invocation, "scan", "Looks at every file; exit status 3 when it is not safe", [&invocation, options](const Output& output) { return scan_model(invocation, *options, output); });
  scan_command->add_option("path", options->path, "a folder, a file, or a model of a hub: hf://OWNER/NAME[@REVISION], or OWNER/NAME where no such folder is")->required();
  add_hub_options(*scan_command, *options);
  add_report_format(*scan_command, options->format);
  add_signature_commands(*group, invocation);
}

}  // namespace redoubt::cli
