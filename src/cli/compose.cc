// SPDX-License-Identifier: Apache-2.0
#include "cli/compose.h"

#include "pipeline/providers.h"
#include "provider/aws/cloudwatch_alarms.h"
#include "provider/aws/cloudwatch_audit_sink.h"
#include "provider/aws/sns_notifier.h"
#include "provider/local/audit_file.h"
#include "provider/local/image_store.h"
#include "provider/local/job_runner.h"
#include "provider/local/local_alarms.h"
#include "provider/local/sqlite_registry.h"
#include "provider/local/webhook_notifier.h"

namespace redoubt::cli {

struct Providers::State {
  Json config;
  governance::Workspace& workspace;
  const Clock& clock;
  std::unique_ptr<provider::ImageStore> images;
  std::unique_ptr<provider::JobRunner> runner;
  std::unique_ptr<provider::ModelRegistry> registry;
  std::unique_ptr<provider::aws::Client> aws;
  std::unique_ptr<provider::AuditSink> audit_sink;
};

Providers::Providers(std::unique_ptr<State> state) : state_(std::move(state)) {}
Providers::~Providers() = default;

Result<std::unique_ptr<Providers>> Providers::create(const Json& config, governance::Workspace& workspace, const Clock& clock) {
  return std::unique_ptr<Providers>(new Providers(std::unique_ptr<State>(new State{config, workspace, clock, nullptr, nullptr, nullptr, nullptr, nullptr})));
}

const Json& Providers::config() const { return state_->config; }
provider::ObjectStore& Providers::objects() { return state_->workspace.objects(); }
vault::ArtifactStore& Providers::artifacts() { return state_->workspace.artifacts(); }
provider::SecretStore& Providers::secrets() { return state_->workspace.secrets(); }

Result<provider::ImageStore*> Providers::images() {
  if (state_->images == nullptr) state_->images = TRY(provider::local::LocalImageStore::open(state_->workspace.layout().images()));
  return state_->images.get();
}

Result<provider::JobRunner*> Providers::runner() {
  if (state_->runner == nullptr) state_->runner = std::make_unique<provider::local::LocalJobRunner>(provider::local::LocalJobRunnerOptions{}, *TRY(images()));
  return state_->runner.get();
}

Result<provider::ModelRegistry*> Providers::registry() {
  if (state_->registry == nullptr) {
    auto mac_key = TRY(state_->workspace.named_key("registry-mac"));
    state_->registry = TRY(provider::local::SqliteRegistry::open({state_->workspace.layout().registry(), std::move(mac_key)}));
  }
  return state_->registry.get();
}

Status Providers::discard_registry() {
  state_->registry.reset();
  return provider::local::SqliteRegistry::discard(state_->workspace.layout().registry());
}

Result<provider::aws::Client*> Providers::aws() {
  if (state_->aws != nullptr) return state_->aws.get();
  const Json block = json_or(state_->config, "aws", Json::object());
  provider::aws::ClientOptions options;
  options.region = json_or(block, "region", "");
  options.profile = json_or(block, "profile", "");
  options.assume_role_arn = json_or(block, "assume_role_arn", "");
  options.endpoint_url = json_or(block, "endpoint_url", "");
  options.ca_file = json_or(block, "ca_file", "");
  options.use_fips = json_or(block, "use_fips", false);
  options.use_dual_stack = json_or(block, "use_dual_stack", false);
  options.attempts_max = static_cast<int>(json_or(block, "attempts_max", std::int64_t{5}));
  state_->aws = TRY(provider::aws::Client::create(std::move(options), state_->clock));
  return state_->aws.get();
}

Result<provider::AuditSink*> Providers::audit_sink() {
  if (state_->audit_sink != nullptr) return state_->audit_sink.get();
  const auto choice = pipeline::choice_of(state_->config, "audit");
  const std::string origin = "redoubt.local/" + state_->workspace.id();
  if (choice.kind == "file") {
    state_->audit_sink = TRY(provider::local::AuditFile::create({json_or(choice.options, "path", ""), origin}));
  } else if (choice.kind == "cloudwatch") {
    provider::aws::CloudWatchAuditSinkOptions options;
    options.group_prefix = json_or(choice.options, "group_prefix", "/redoubt");
    options.stream = json_or(choice.options, "stream", "");
    options.origin = origin;
    options.retention_days = static_cast<int>(json_or(choice.options, "retention_days", std::int64_t{90}));
    options.kms_key = json_or(choice.options, "kms_key", "");
    state_->audit_sink = TRY(provider::aws::CloudWatchAuditSink::create(std::move(options), *TRY(aws()), state_->clock));
  }
  return state_->audit_sink.get();
}

Result<std::unique_ptr<provider::Alarms>> Providers::alarms(const std::string& environment, int interval_s, governance::Notes& notes, const Json& earlier) {
  const auto choice = pipeline::choice_of(state_->config, "alarms");
  if (choice.kind == "cloudwatch") {
    provider::aws::CloudWatchAlarmsOptions options;
    options.metric_namespace = json_or(choice.options, "namespace", "Redoubt");
    options.name_prefix = "redoubt-" + state_->workspace.id() + "-" + environment + "-";
    options.dimensions = {{"Workspace", state_->workspace.id()}, {"Environment", environment}};
    options.topic_arn = json_or(choice.options, "topic_arn", "");
    options.period_s = (std::max(interval_s, 1) + 59) / 60 * 60;
    return std::unique_ptr<provider::Alarms>(TRY(provider::aws::CloudWatchAlarms::create(std::move(options), *TRY(aws()), state_->clock)));
  }
  const std::string note = "alarms-" + environment;
  const auto load = [&notes, note, earlier]() -> Result<std::optional<Json>> {
    auto saved = TRY(notes.load(note));
    return saved ? saved : std::optional(earlier);
  };
  const auto save = [&notes, note](const Json& alarms) { return notes.save(note, alarms); };
  return std::unique_ptr<provider::Alarms>(TRY(provider::local::LocalAlarms::create({load, save}, state_->clock)));
}

Result<std::unique_ptr<provider::Notifier>> Providers::notifier(const std::string& url, const std::string& ca_file, const std::string& secret_name) {
  const auto choice = pipeline::choice_of(state_->config, "alarms");
  const auto topic = json_or(choice.options, "topic_arn", "");
  // CloudWatch tells its topic itself.
  if (!topic.empty() && choice.kind != "cloudwatch") return std::unique_ptr<provider::Notifier>(TRY(provider::aws::SnsNotifier::create({topic}, *TRY(aws()), state_->clock)));
  if (url.empty()) return std::unique_ptr<provider::Notifier>();
  provider::local::WebhookOptions options;
  options.url = url;
  options.ca_file = ca_file;
  options.secret_name = secret_name;
  return std::unique_ptr<provider::Notifier>(TRY(provider::local::WebhookNotifier::create(std::move(options), secrets(), state_->clock)));
}

}  // namespace redoubt::cli
