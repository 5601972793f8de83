// SPDX-License-Identifier: Apache-2.0
//
// redoubt run PIPELINE.yaml: binds the seven steps to the stages and the workspace's providers.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/deploy_version.h"
#include "cli/endpoint_access.h"
#include "cli/endpoint_guards.h"
#include "cli/engine_image.h"
#include "cli/image_check.h"
#include "cli/session.h"
#include "cli/vault_data.h"
#include "crypto/hash.h"
#include "pipeline/config.h"
#include "pipeline/providers.h"
#include "pipeline/run.h"
#include "cli/production.h"
#include "stages/acquire/acquire.h"
#include "stages/data/prepare.h"
#include "stages/evaluate/evaluate.h"
#include "stages/image/step.h"
#include "stages/publish/register.h"
#include "stages/train/train.h"

namespace redoubt::cli {
namespace {

using governance::AcquiredModel;
using governance::BuiltImage;
using governance::Deployment;
using governance::Evaluation;
using governance::Permission;
using governance::PreparedData;
using governance::RegisteredVersion;
using governance::TrainedModel;

// The stages' dependencies out of one session, for as long as a run takes.
class PipelineRun {
 public:
  PipelineRun(Session& session, const pipeline::Config& config, Invocation& invocation) : session_(session), config_(config), invocation_(invocation) {}

  // What can be known before the first step: whether the endpoint could start with what is named for it, whether the vault has the data,
  // and whether they are held.
  Status look_ahead(const Output& output) {
    if (auto looked = look_at_endpoint(); !looked) {
      looked.error().where = fmt::format("{}: {}", config_.file.string(), looked.error().where);
      return looked;
    }
    if (config_.data.vault.empty()) return {};
    auto found = find_vault_data(session_, config_.data.vault);
    if (!found) {
      found.error().where = fmt::format("{}: data.file: {}", config_.file.string(), found.error().where);
      return fail(std::move(found.error()));
    }
    if (!found->held.empty()) output.say(fmt::format("the data {} are under a hold: {}", found->version.text(), found->held));
    vault_data_ = std::move(*found);
    return {};
  }

  pipeline::Steps steps() {
    pipeline::Steps steps;
    steps.acquire = [this] { return acquire(); };
    steps.prepare_data = [this] { return prepare_data(); };
    steps.build_image = [this] { return build_image(); };
    steps.train = [this](const auto& model, const auto& data, const auto& image) { return train(model, data, image); };
    steps.evaluate = [this](const auto& model, const auto& data, const auto& image, const auto& trained) { return evaluate(model, data, image, trained); };
    steps.publish = [this](const auto& model, const auto& data, const auto& image, const auto& trained, const auto& evaluation) {
      return publish({model, data, image, trained, evaluation});
    };
    steps.look_up = [this](const RegisteredVersion& version) -> Result<provider::ModelVersion> {
      auto* registry = TRY(session_.registry());
      return registry->get(json_or(version.record().result, "name", ""), json_or(version.record().result, "version", ""));
    };
    steps.deploy = [this](const provider::ModelVersion& version) -> Result<Deployment> {
      TRY(session_.act_for(Duty::deploy));
      auto deployed = TRY(deploy_version(session_, {.name = version.name, .version = version.version, .environment = ""}));
      endpoint = deployed.status;
      return std::move(deployed.deployment);
    };
    return steps;
  }

  std::optional<provider::EndpointStatus> endpoint;

 private:
  Status look_at_endpoint() {
    (void)TRY(make_guards(config_.deploy.guards));
    if (!session_.is_far("endpoint")) TRY(EndpointAccess::check_files(config_.deploy.access, session_.clock()));
    const auto& secret = config_.watch.webhook_secret;
    if (config_.watch.webhook.empty() || secret.empty() || session_.is_far("secrets")) return {};
    const auto key = session_.secrets().get(secret);
    if (key || key.error().code != ErrorCode::not_found) return key ? Status{} : Status(fail(key.error()));
    return fail(ErrorCode::not_found, fmt::format("the secret '{}' that watch.webhook_secret names is not there", secret), "watch.webhook_secret", fmt::format("redoubt secret put {}", secret));
  }

  Result<AcquiredModel> acquire() {
    TRY(session_.act_for(Duty::acquire));
    stages::acquire::AcquireOptions options;
    options.hub.endpoint = config_.model.endpoint;
    options.hub.ca_file = config_.model.ca_file;
    options.hub.allowed_hosts = config_.model.allowed_hosts;
    options.repository = config_.model.repository;
    options.revision = config_.model.revision;
    options.bytes_max = config_.model.size_gib_max << 30;
    options.signers = config_.model.signers;
    options.now = session_.clock().now();
    if (!config_.model.token_secret.empty()) {
      auto token = session_.secrets().get(config_.model.token_secret);
      if (!token && token.error().code == ErrorCode::not_found) {
        return fail(ErrorCode::not_found, fmt::format("the secret '{}' that model.token_secret names is not there", config_.model.token_secret), config_.file.string(),
                    fmt::format("redoubt secret put {}", config_.model.token_secret));
      }
      options.hub.token = TRY(std::move(token));
      options.hub.read_token_again = [this] { return session_.secrets().get(config_.model.token_secret); };
    }
    stages::acquire::AcquireDeps deps{session_.store(), *TRY(session_.recorder()), invocation_.progress};
    auto model = TRY(stages::acquire::acquire(options, deps));
    TRY(check_serving(session_, TRY(model.output("model")), "", config_.deploy));  // sooner than after a training
    return model;
  }

  Result<PreparedData> prepare_data() {
    stages::data::PrepareOptions options;
    options.file = config_.data.file;
    if (vault_data_) options.origin = stages::data::VaultOrigin{vault_data_->text(), vault_data_->version.artifact, vault_data_->file.sha256, vault_data_->to_json(), vault_data_->open};
    options.eval_fraction = config_.data.eval_fraction;
    options.validation_fraction = json_or(config_.training, "validation_fraction", 0.1);
    options.seed = config_.data.seed;
    options.question = config_.data.question;
    options.policy = config_.data.policy;
    stages::data::PrepareDeps deps{session_.store(), *TRY(session_.recorder()), invocation_.progress};
    return stages::data::prepare(options, deps);
  }

  static std::vector<std::filesystem::path> whole(std::vector<std::filesystem::path> paths) {
    for (auto& path : paths) path = std::filesystem::absolute(path);
    return paths;
  }

  Result<stages::image::ScanOptions> scan_options() {
    stages::image::ScanOptions options;
    options.apt_security = config_.image.apt_security;
    options.osv = whole(config_.image.osv);
    options.debian_tracker = whole(config_.image.debian_tracker);
    options.epss = whole(config_.image.epss);
    options.kev = whole(config_.image.kev);
    for (const auto& document : config_.image.vex) options.vex.push_back({document.file.filename().string(), crypto::sha256(document.text), document.text});
    options.vex_until = config_.image.vex_until;
    options.policy.block_exploited = config_.policy.block_exploited;
    options.policy.epss_block = config_.policy.epss_block;
    options.feed_age_days_max = config_.image.feed_age_days_max;
    options.accepted = TRY(stages::image::AcceptedFinding::from_json(config_.image.accepted_findings));
    options.database = TRY(advisory_database(session_));
    return options;
  }

  Result<BuiltImage> build_image() {
    TRY(session_.act_for(Duty::image));
    stages::image::StepDeps deps{session_.store(), *TRY(session_.images()), *TRY(session_.recorder()), session_.clock(), invocation_.progress, TRY(session_.registry_findings())};
    return stages::image::build({TRY(find_engine()), config_.image.name, REDOUBT_VERSION}, TRY(scan_options()), deps);
  }

  Result<TrainedModel> train(const AcquiredModel& model, const PreparedData& data, const BuiltImage& image) {
    TRY(session_.act_for(Duty::train));
    stages::train::Deps deps{session_.store(), *TRY(session_.runner("train")), *TRY(session_.recorder()), session_.notes(), invocation_.progress};
    return stages::train::run(model, data, image, config_.training, deps);
  }

  Result<Evaluation> evaluate(const AcquiredModel& model, const PreparedData& data, const BuiltImage& image, const TrainedModel& trained) {
    TRY(session_.act_for(Duty::evaluate));
    stages::evaluate::Deps deps{session_.store(), *TRY(session_.runner("evaluate")), *TRY(session_.recorder()), invocation_.progress};
    stages::evaluate::Options options;
    options.thresholds = config_.thresholds;
    options.dtype = json_or(config_.training, "dtype", "bf16");
    options.weights = config_.deploy.weights;  // the gate is over what will answer
    options.max_length = json_or(config_.training, "max_length", std::int64_t{512});
    options.generations = config_.generations;
    if (options.thresholds.not_worse_than) options.production = TRY(production_of(session_, config_.name, TRY(trained.output(attest::trained_weights(trained.record()).output))));
    return stages::evaluate::run(model, data, image, trained, options, deps);
  }

  Result<RegisteredVersion> publish(const stages::publish::ReleaseChain& chain) {
    TRY(session_.act_for(Duty::registration));
    const auto model_key = TRY(session_.model_key());
    stages::publish::RegisterDeps deps{session_.store(), *TRY(session_.registry()), *TRY(session_.recorder()), model_key, session_.clock()};
    stages::publish::RegisterOptions options;
    options.name = config_.name;
    options.description = config_.description;
    options.license = config_.model.license;
    options.bump = config_.bump;
    options.intended_use = config_.intended_use;
    options.limitations = config_.limitations;
    const auto scanned_with = TRY(scan_options());
    for (std::size_t i = 0; i < scanned_with.vex.size(); ++i) {
      MemorySource text(view_of(scanned_with.vex[i].text));
      const Digest kept = TRY(session_.store().put_blob(text));
      options.documents.emplace(fmt::format("vex-{}", i + 1), kept);
    }
    const Json scan = stages::image::to_json(scanned_with);
    options.settings = {{"policy", config_.policy.to_json()}, {"endpoint", config_.deploy.to_json()}, {"watch", config_.watch.to_json()},
                        {"scan", scan}};
    return stages::publish::register_version(chain, options, deps);
  }

  Session& session_;
  const pipeline::Config& config_;
  Invocation& invocation_;
  std::optional<VaultData> vault_data_;
};

std::string seconds_text(double seconds) { return seconds < 9.95 ? fmt::format("{:.1f} s", seconds) : fmt::format("{:.0f} s", seconds); }

std::string how_to_ask(const provider::EndpointStatus& endpoint) {
  if (endpoint.ca_file.empty()) return fmt::format("\nendpoint: {}\n", endpoint.url);  // asked with the host's own credentials
  return fmt::format("\nendpoint: {}\nask it:   curl --cacert {} -H 'Authorization: Bearer KEY' {}/v1/chat/completions -H 'Content-Type: application/json' \\\n"
                     "            -d '{{\"model\":\"{}\",\"messages\":[{{\"role\":\"user\",\"content\":\"...\"}}]}}'\n          a KEY comes from: redoubt key create --name NAME\n",
                     endpoint.url, endpoint.ca_file, endpoint.url, endpoint.name);
}

Json report_json(const pipeline::RunReport& report) {
  Json rows = Json::array();
  for (const auto& row : report.rows) {
    rows.push_back({{"step", row.step}, {"outcome", row.outcome}, {"digest", row.digest}, {"seconds", row.seconds}, {"reused", row.reused}});
  }
  return {{"steps", rows}, {"name", report.name}, {"version", report.version}, {"state", report.state}};
}

std::string to_table(const pipeline::RunReport& report) {
  Table table{{"STEP", "TIME", "RESULT", "DIGEST"}, {}};
  for (const auto& row : report.rows) {
    table.rows.push_back({row.step, row.reused ? "reused" : seconds_text(row.seconds), row.outcome, row.digest.substr(0, 12)});
  }
  return render(table);
}

Result<int> run_pipeline(Invocation& invocation, const std::string& file, const Output& output) {
  const auto config = TRY(pipeline::load_config(file));
  auto session = TRY(Session::open(invocation.global, Duty::operate));
  TRY(session->require(Permission::run_pipeline));
  const auto lock = TRY(session->workspace().lock());
  if (!invocation.global.providers.empty()) {
    TRY(session->use_providers(TRY(pipeline::load_providers(invocation.global.providers))));
  } else if (config.providers) {
    TRY(session->use_providers(*config.providers));
  }
  PipelineRun bound(*session, config, invocation);
  TRY(bound.look_ahead(output));
  const auto report = pipeline::run(bound.steps(), [&](int number, std::string_view step) {
    output.say(fmt::format("[{}/8] {}", number, step));
    if (auto told = session->mirror_audit(); !told) output.say("the audit trail is not up to date: " + told.error().message);
  });
  invocation.progress.end();
  Json json = report_json(report);
  std::string text = to_table(report);
  if (bound.endpoint) {
    json["endpoint"] = bound.endpoint->to_json();
    text += how_to_ask(*bound.endpoint);
  }
  if (!report.stopped) {
    output.result(json, text);
    return 0;
  }
  if (!output.json()) output.result(json, text);
  return output.error(*report.stopped);
}

}  // namespace

void add_run_command(CLI::App& app, Invocation& invocation) {
  auto file = std::make_shared<std::string>();
  add_command(app, invocation, "run", "Takes a model through the seven steps; run it again to go on", [&invocation, file](const Output& output) { return run_pipeline(invocation, *file, output); })
      ->add_option("pipeline", *file, "a redoubt.yaml")
      ->required();
}

}  // namespace redoubt::cli
