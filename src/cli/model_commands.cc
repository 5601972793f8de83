// SPDX-License-Identifier: Apache-2.0
//
// redoubt hub serve; redoubt model pull, import, scan, sign, verify (and merge, in merge_command.cc).
#include <fmt/format.h>
#include <signal.h>

#include "attest/model_signature.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/prompt.h"
#include "cli/report_format.h"
#include "cli/session.h"
#include "cli/signals_held.h"
#include "hub/server.h"
#include "stages/acquire/acquire.h"
#include "stages/acquire/gguf_import.h"
#include "model_scan/model_scan.h"

namespace redoubt::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string root, listen = "127.0.0.1:8080", certificate, key, token_file;
  std::string repository, endpoint = "https://huggingface.co", ca_file, token_secret, path, output, public_key;
  std::vector<std::string> allowed_hosts;
  std::uint64_t size_gib_max = 256;
  ReportFormat format;
};

// A folder that was named as "DIR", "DIR/" or ".".
Result<fs::path> folder_of(const std::string& named) {
  fs::path path = fs::absolute(named).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  std::error_code error;
  if (!fs::exists(path, error)) return fail(ErrorCode::not_found, "no such folder", named);
  if (!fs::is_directory(path, error)) return fail(ErrorCode::invalid_argument, "not a folder", named, "name the model's folder");
  return path;
}

Result<int> serve_hub(const Options& options, const Output& output) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const auto colon = options.listen.rfind(':');
  const int port = colon == options.listen.npos ? -1 : std::atoi(options.listen.c_str() + colon + 1);
  if (port < 0 || port > 65535) return fail(ErrorCode::invalid_argument, "not HOST:PORT", options.listen);
  hub::Options hub;
  hub.root = options.root;
  hub.host = options.listen.substr(0, colon);
  hub.port = static_cast<std::uint16_t>(port);
  hub.certificate_pem = TRY(read_text_file(options.certificate, 1 << 20));
  hub.private_key_pem = Secret(TRY(read_text_file(options.key, 1 << 20)));
  hub.token = TRY(read_secret_file(options.token_file));
  const std::string host = hub.host;
  const auto server = TRY(hub::HubServer::start(std::move(hub)));
  output.say(fmt::format("serving {} at https://{}:{}", options.root, host, server->port()));
  int signal = 0;
  sigwait(&signals, &signal);
  server->stop();
  return 0;
}

Result<int> pull(Invocation& invocation, const Options& options, const Output& output) {
  auto session = TRY(Session::open(invocation.global, Duty::acquire));
  TRY(session->require(governance::Permission::run_pipeline));
  const auto lock = TRY(session->workspace().lock());
  stages::acquire::AcquireOptions acquire;
  const auto at = options.repository.find('@');
  acquire.repository = options.repository.substr(0, at);
  if (at != options.repository.npos) acquire.revision = options.repository.substr(at + 1);
  acquire.hub.endpoint = options.endpoint;
  acquire.hub.ca_file = options.ca_file;
  acquire.hub.allowed_hosts = options.allowed_hosts;
  acquire.bytes_max = options.size_gib_max << 30;
  if (!options.token_secret.empty()) {
    acquire.hub.token = TRY(session->secrets().get(options.token_secret));
    acquire.hub.read_token_again = [&] { return session->secrets().get(options.token_secret); };
  }
  stages::acquire::AcquireDeps deps{session->store(), session->objects(), *TRY(session->recorder()), session->notes(), invocation.progress};
  const auto model = TRY(stages::acquire::acquire(acquire, deps));
  Json result = model.record().result;
  result["digest"] = TRY(model.output("model")).tagged();
  output.result(result, fmt::format("{} at {} is in the vault: {}", acquire.repository, json_or(result, "commit", ""), json_or(result, "digest", "")));
  return 0;
}

Result<int> import(Invocation& invocation, const Options& options, const Output& output) {
  // A signal waits until the plain files that are being written are gone; then it ends the process as it would have.
  const SignalsHeld signals;
  TRY(stages::acquire::import_gguf(options.path, options.output, invocation.progress, [&] { return signals.any_pending(); }));
  output.result({{"folder", options.output}}, "the model is in " + options.output);
  return 0;
}

Result<int> scan(const Options& options, const Output& output) {
  const auto report = TRY(model_scan::scan_model(fs::path(options.path)));
  Table table{{"SEVERITY", "KIND", "PATH", "DETAIL"}, {}};
  for (const auto& finding : report.findings) table.rows.push_back({finding.severity, finding.kind, finding.member.empty() ? finding.path : finding.member, finding.detail});
  TRY(write_report(output, options.format, report.to_json(), report.safe() ? fmt::format("safe: {} files, {} bytes", report.files, report.bytes) : render(table), [&] { return report.to_sarif(); }));
  return report.safe() ? 0 : exit_code_of(ErrorCode::gate_refused);
}

Result<int> sign(Invocation& invocation, const Options& options, const Output& output) {
  const fs::path folder = TRY(folder_of(options.path));
  auto session = TRY(Session::open(invocation.global, Duty::acquire));
  TRY(session->require(governance::Permission::run_pipeline));
  const auto key = TRY(session->model_key());
  auto files = TRY(attest::hash_model_folder(folder));
  if (files.empty()) return fail(ErrorCode::invalid_argument, "a model without files", options.path);
  const fs::path signature = folder / attest::kModelSignatureName, public_key = folder.string() + ".pub";
  TRY(write_file(signature, TRY(attest::sign_model(folder.filename().string(), std::move(files), key)), FileMode::readable_by_all));
  TRY(write_file(public_key, key.public_key().to_pem(), FileMode::readable_by_all));
  output.result({{"signature", signature.string()}, {"public_key", public_key.string()}}, fmt::format("{}\npublic key: {}", signature.string(), public_key.string()));
  return 0;
}

Result<crypto::PublicKey> read_public_key(const fs::path& file) {
  const auto reader = FileReader::open_regular(file);
  if (!reader) return fail(reader.error().code, "the signer's public key can't be read: " + reader.error().message, file.string(), "name it with '--public-key FILE'");
  auto key = crypto::PublicKey::from_pem(to_text(TRY(read_all(**reader, 64 << 10))));
  if (!key) return fail(key.error().code, key.error().message, file.string(), "name a PEM file with the signer's public key");
  return key;
}

Result<int> verify(const Options& options, const Output& output) {
  const fs::path folder = TRY(folder_of(options.path));
  std::error_code error;
  if (!fs::exists(folder / attest::kModelSignatureName, error)) {
    return fail(ErrorCode::not_found, "the folder has no signature (model.sig)", options.path, "sign it with 'redoubt model sign DIR'");
  }
  const auto key = TRY(read_public_key(options.public_key.empty() ? fs::path(folder.string() + ".pub") : fs::path(options.public_key)));
  const auto problems = TRY(attest::verify_model_folder(folder, key));
  Json list = Json::array();
  std::string lines;
  for (const auto& problem : problems) {
    list.push_back({{"kind", problem.kind}, {"object", problem.object}, {"detail", problem.detail}});
    lines += fmt::format("{} {}: {}\n", problem.kind, problem.object, problem.detail);
  }
  output.result({{"ok", problems.empty()}, {"problems", list}}, problems.empty() ? "every file is as it was signed" : lines);
  return problems.empty() ? 0 : exit_code_of(ErrorCode::tampered);
}

}  // namespace

void add_hub_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<Options>();
  CLI::App* group = app.add_subcommand("hub", "A private model mirror")->require_subcommand(1);
  CLI::App* serve = add_command(*group, invocation, "serve", "Serves a folder of models, OWNER/NAME/..., through the Hugging Face Hub's HTTP API",
                                [options](const Output& output) { return serve_hub(*options, output); });
  serve->add_option("--root", options->root, "the folder")->required();
  serve->add_option("--listen", options->listen, "HOST:PORT; port 0 is any free one");
  serve->add_option("--tls-cert", options->certificate, "PEM file, the chain with the leaf first")->required();
  serve->add_option("--tls-key", options->key, "PEM file")->required();
  serve->add_option("--token-file", options->token_file, "a file with the token that every request needs")->required();
}

void add_model_commands(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<Options>();
  CLI::App* group = app.add_subcommand("model", "Models: pull, import, merge, scan, sign, verify")->require_subcommand(1);
  CLI::App* pull_command = add_command(*group, invocation, "pull", "Downloads a model from a hub into the vault", [&invocation, options](const Output& output) { return pull(invocation, *options, output); });
  pull_command->add_option("repository", options->repository, "OWNER/NAME[@REVISION]")->required();
  pull_command->add_option("--endpoint", options->endpoint, "the hub");
  pull_command->add_option("--ca-file", options->ca_file, "PEM file of the hub's authority");
  pull_command->add_option("--token-secret", options->token_secret, "name of the token in the secret store");
  pull_command->add_option("--allow-host", options->allowed_hosts, "a host that the hub may redirect a download to; '*.example.com' is every host below it");
  pull_command->add_option("--size-gib-max", options->size_gib_max, "largest model that is taken (default 256)")->check(CLI::Range(1, 1 << 20));
  CLI::App* import_command = add_command(*group, invocation, "import", "Turns a GGUF file into a Hugging Face folder", [&invocation, options](const Output& output) { return import(invocation, *options, output); });
  import_command->add_option("file", options->path, "a GGUF file of the Llama family")->required();
  import_command->add_option("-o,--output", options->output, "a new folder")->required();
  add_merge_command(*group, invocation);
  CLI::App* scan_command = add_command(*group, invocation, "scan", "Looks at every file; exit status 3 when it is not safe", [options](const Output& output) { return scan(*options, output); });
  scan_command->add_option("path", options->path, "a folder or a file")->required();
  add_report_format(*scan_command, options->format);
  add_command(*group, invocation, "sign", "Signs every file (OpenSSF Model Signing)", [&invocation, options](const Output& output) { return sign(invocation, *options, output); })
      ->add_option("folder", options->path, "a model's folder")
      ->required();
  CLI::App* verify_command = add_command(*group, invocation, "verify", "Checks model.sig; exit status 4 when a file was changed", [options](const Output& output) { return verify(*options, output); });
  verify_command->add_option("folder", options->path, "a model's folder")->required();
  verify_command->add_option("--public-key", options->public_key, "PEM file (default: FOLDER.pub)");
}

}  // namespace redoubt::cli
