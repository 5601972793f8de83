// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_parts.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "custody/captures.h"
#include "provider/local/worker_host.h"
#include "monitor/prompt.h"
#include "vault/job_files.h"

namespace redoubt::cli {
namespace {

constexpr auto kReadyDeadline = std::chrono::seconds(90);
// Certificates start a little in the past, for clients whose clocks are late.
constexpr auto kClockTolerance = std::chrono::minutes(10);

enum class Lines { captures, training_rows };

void add_prompts_of_lines(const std::string& lines, Lines kind, std::vector<std::string>& prompts) {
  for (std::size_t from = 0; from < lines.size();) {
    const auto end = std::min(lines.find('\n', from), lines.size());
    const auto row = parse_json(std::string_view(lines).substr(from, end - from), "line");
    from = end + 1;
    if (!row) continue;
    auto prompt = kind == Lines::captures ? monitor::prompt_of_capture(*row) : monitor::prompt_of(*row);
    if (prompt) prompts.push_back(std::move(*prompt));
  }
}

Result<std::pair<std::vector<provider::JobFile>, std::vector<provider::JobFile>>> release_files(vault::ArtifactStore& store, const Digest& release) {
  std::vector<provider::JobFile> base, adapter;
  auto files = TRY(vault::job_files(store, release));
  for (auto& file : files) {
    const bool is_base = file.path.starts_with("base/");
    file.path = file.path.substr(file.path.find('/') + 1);
    (is_base ? base : adapter).push_back(std::move(file));
  }
  return std::pair(std::move(base), std::move(adapter));
}

// The texts that the release's tokenizer makes control tokens of. Without a tokenizer to read nothing is served.
Result<std::vector<std::string>> control_tokens(vault::ArtifactStore& store, const Digest& release) {
  constexpr const char* kWhere = "base/tokenizer.json";
  const auto manifest = TRY(store.manifest(release));
  const auto file = std::find_if(manifest.files.begin(), manifest.files.end(), [&](const auto& entry) { return entry.path == kWhere; });
  if (file == manifest.files.end()) return fail(ErrorCode::not_found, "the release has no tokenizer", kWhere);
  const Json tokenizer = TRY(parse_json(to_text(TRY(store.read_blob(file->sha256, 64 << 20))), kWhere));
  std::vector<std::string> tokens;
  for (const auto& token : TRY(json_array(tokenizer, "added_tokens", kWhere))) {
    auto text = TRY(json_string(token, "content", kWhere));
    if (TRY(json_bool(token, "special", kWhere)) && !text.empty()) tokens.push_back(std::move(text));
  }
  return tokens;
}

// What a worker said of its own failure: its error on stderr, and the cure below it.
class LastWords {
 public:
  void hear(std::string_view line) {
    const std::lock_guard lock(mutex_);
    if (line.starts_with(kStart)) {
      text_ = line.substr(kStart.size());
    } else if (!text_.empty() && line.starts_with("  ")) {
      text_ += "; " + std::string(line.substr(2));
    }
  }
  std::string told() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  static constexpr std::string_view kStart = "redoubt-engine: ";
  std::mutex mutex_;
  std::string text_;
};

gateway::WorkerFactory worker_factory(Session& session, provider::local::WorkerSpec spec, provider::ImageStore& images) {
  return [spec = std::move(spec), &images, &session]() -> Result<gateway::WorkerProcess> {
    (void)session;
    const std::shared_ptr<provider::local::Worker> worker = TRY(provider::local::Worker::start(spec, images));
    // The pool owns a descriptor of its own: the worker closes its when it goes.
    gateway::WorkerProcess process;
    process.socket = Fd(::fcntl(worker->socket(), F_DUPFD_CLOEXEC, 3));
    process.kill = [worker] { worker->kill(); };
    process.wait = [worker] {
      const auto exit = worker->wait();
      return exit ? exit->code : 1;
    };
    return process;
  };
}

}  // namespace

std::filesystem::path authority_file(const Session&, const GlobalOptions& options) { return std::filesystem::absolute(options.workspace) / "ca.pem"; }

Result<crypto::CertificateAndKey> endpoint_authority(Session& session) {
  const auto file = TRY(session.workspace().state_file("tls-authority"));
  if (file.exists()) {
    const Json saved = TRY(file.read_json());
    return crypto::load_certificate(TRY(json_string(saved, "certificate", "tls-authority")), Secret(TRY(json_string(saved, "key", "tls-authority"))));
  }
  auto authority = TRY(crypto::make_ca({"Redoubt workspace " + session.workspace().id(), session.clock().now() - kClockTolerance}));
  TRY(file.write_json({{"certificate", authority.certificate}, {"key", to_text(authority.key.to_pem().reveal(SecretAccess::for_storage()))}}));
  return authority;
}

Result<crypto::CertificateAndKey> endpoint_certificate(Session& session, const pipeline::DeployOptions& endpoint) {
  const auto authority = TRY(endpoint_authority(session));
  TRY(write_file(session.workspace().layout().root / "ca.pem", authority.certificate, FileMode::readable_by_all));
  crypto::LeafOptions leaf;
  for (const auto& name : endpoint.names) (crypto::is_ip_address(name) ? leaf.ip_addresses : leaf.dns_names).push_back(name);
  if (std::find(leaf.ip_addresses.begin(), leaf.ip_addresses.end(), endpoint.host) == leaf.ip_addresses.end() && endpoint.host != "0.0.0.0" && endpoint.host != "::") {
    leaf.ip_addresses.push_back(endpoint.host);
  }
  leaf.not_before = session.clock().now() - kClockTolerance;
  return crypto::issue_leaf(authority, leaf);
}

Result<std::unique_ptr<gateway::ApiKeys>> open_api_keys(Session& session, const std::string& environment) {
  gateway::ApiKeyStorage storage;
  const std::string name = "api-keys-" + environment;
  storage.load = [&session, name]() -> Result<std::string> {
    const auto file = TRY(session.workspace().state_file(name));
    return file.exists() ? to_text(TRY(file.read())) : std::string();
  };
  storage.save = [&session, name](const std::string& json) -> Status { return TRY(session.workspace().state_file(name)).write(view_of(json)); };
  return gateway::ApiKeys::open(std::move(storage), session.clock());
}

Result<std::unique_ptr<gateway::BudgetBook>> open_budgets(Session& session, const std::string& environment) {
  const std::string name = "budgets-" + environment;
  gateway::BudgetStorage storage;
  storage.load = [&session, name]() -> Result<std::string> {
    const auto file = TRY(session.workspace().state_file(name));
    return file.exists() ? to_text(TRY(file.read())) : std::string();
  };
  storage.save = [&session, name](const std::string& json) -> Status { return TRY(session.workspace().state_file(name)).write(view_of(json)); };
  return gateway::BudgetBook::open(std::move(storage));
}

Result<std::vector<std::string>> captured_prompts(Session& session, const std::string& environment, std::size_t count) {
  const auto batches = TRY(custody::captured_batches(session.notes(), environment));
  std::vector<std::string> newest_first;
  for (auto batch = batches.rbegin(); batch != batches.rend() && newest_first.size() < count; ++batch) {
    const auto lines = TRY(custody::read_captures(session.notes(), session.store(), environment, *batch));
    std::vector<std::string> prompts;
    if (lines) add_prompts_of_lines(to_text(*lines), Lines::captures, prompts);
    newest_first.insert(newest_first.end(), std::make_move_iterator(prompts.rbegin()), std::make_move_iterator(prompts.rend()));
  }
  newest_first.resize(std::min(newest_first.size(), count));
  std::reverse(newest_first.begin(), newest_first.end());
  return newest_first;
}

Result<std::vector<std::string>> training_prompts(Session& session, const Digest& training_data) {
  std::vector<std::string> prompts;
  const auto manifest = TRY(session.store().manifest(training_data));
  for (const auto& file : manifest.files) add_prompts_of_lines(to_text(TRY(session.store().read_blob(file.sha256, 8ull << 30))), Lines::training_rows, prompts);
  return prompts;
}

std::string content_of(const stages::deploy::CurrentDeployment& deployment, const pipeline::DeployOptions& endpoint) {
  const auto& inputs = deployment.record.inputs;
  return dump_json({{"release", inputs.at("release").tagged()}, {"image", inputs.at("image").tagged()}, {"engine", endpoint.engine()}, {"workers", endpoint.workers}, {"scale", endpoint.scale}, {"hang_s", endpoint.hang_s}});
}

Result<gateway::Release> start_release(Session& session, std::shared_ptr<http::Reactor> reactor, const stages::deploy::CurrentDeployment& deployment, const pipeline::DeployOptions& endpoint) {
  const auto& inputs = deployment.record.inputs;
  auto files = TRY(release_files(session.store(), inputs.at("release")));
  provider::local::WorkerSpec spec;
  spec.image = inputs.at("image").tagged();
  spec.base = std::move(files.first);
  spec.adapter = std::move(files.second);
  spec.hyperparameters = endpoint.engine();
  const auto last_words = std::make_shared<LastWords>();
  spec.on_log = [last_words](std::string_view line) {
    spdlog::info("engine: {}", line);
    last_words->hear(line);
  };
  gateway::WorkerPoolOptions pool;
  pool.workers = endpoint.workers;
  pool.silence_ms_max = endpoint.hang_s * 1000;
  if (!endpoint.scale.empty()) pool.scale = TRY(gateway::ScaleOptions::from_json(endpoint.scale));
  gateway::Release release;
  release.name = deployment.name();
  release.version = deployment.version();
  release.since = session.clock().now();
  release.content = content_of(deployment, endpoint);
  release.control_tokens = TRY(control_tokens(session.store(), inputs.at("release")));
  release.pool = gateway::WorkerPool::create(std::move(reactor), worker_factory(session, std::move(spec), *TRY(session.images())), pool);
  if (!release.pool->wait_ready(kReadyDeadline)) {
    const auto why = release.pool->last_failure();
    const auto said = last_words->told();
    return fail(ErrorCode::unavailable, "no engine worker became ready: " + (!said.empty() ? said : why ? why->message : "it took too long"), why ? why->where : "");
  }
  return release;
}

}  // namespace redoubt::cli
