// SPDX-License-Identifier: Apache-2.0
#include "cli/compose.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/file.h"
#include "base/log.h"
#include "cli/aws_client.h"
#include "cli/local_endpoint.h"
#include "pipeline/providers.h"
#include "provider/aws/aws_kms.h"
#include "provider/aws/cloudwatch_alarms.h"
#include "provider/aws/cloudwatch_audit_sink.h"
#include "provider/aws/ecr_findings.h"
#include "provider/aws/ecr_image_store.h"
#include "provider/aws/s3_object_store.h"
#include "provider/aws/sagemaker_endpoint.h"
#include "provider/aws/sagemaker_job_runner.h"
#include "provider/aws/sagemaker_monitor.h"
#include "provider/aws/sagemaker_registry.h"
#include "provider/aws/secrets_manager_store.h"
#include "provider/aws/sns_notifier.h"
#include "provider/kms_router.h"
#include "provider/layered_object_store.h"
#include "provider/local/audit_file.h"
#include "provider/local/image_store.h"
#include "provider/local/job_runner.h"
#include "provider/local/local_alarms.h"
#include "provider/local/sqlite_registry.h"
#include "provider/local/webhook_notifier.h"
#include "provider/mirrored_image_store.h"
#include "provider/prefixed_object_store.h"

namespace redoubt::cli {
namespace {

std::vector<std::string> strings_of(const Json& list) {
  std::vector<std::string> out;
  for (const auto& item : list) out.push_back(item.get<std::string>());  // the schema has checked them
  return out;
}

provider::aws::AnalysisOptions analysis_of(const Json& given) {
  const auto of = [&](const char* member) { return json_or(given, member, ""); };
  return {of("image"),  of("config_uri"),         of("ground_truth_uri"),    of("constraints_uri"),       of("problem_type"),
          of("features_attribute"), of("inference_attribute"), of("probability_attribute"), of("start_time_offset"), of("end_time_offset")};
}

// How an endpoint there is watched; by our own image unless the file says otherwise.
provider::aws::MonitoringOptions monitoring_of(const Json& given) {
  using provider::aws::MonitoringMode;
  provider::aws::MonitoringOptions monitoring;
  const std::string mode = json_or(given, "mode", "processing");
  monitoring.mode = mode == "off" ? MonitoringMode::off : mode == "processing" ? MonitoringMode::processing : MonitoringMode::model_monitor;
  monitoring.role_arn = json_or(given, "role_arn", "");
  monitoring.scheduler_role_arn = json_or(given, "scheduler_role_arn", "");
  monitoring.schedule_minutes = static_cast<int>(json_or(given, "schedule_minutes", std::int64_t{60}));
  monitoring.instance_type = json_or(given, "instance_type", "ml.m5.large");
  monitoring.volume_gib = static_cast<int>(json_or(given, "volume_gib", std::int64_t{30}));
  monitoring.run_s_max = static_cast<int>(json_or(given, "run_s_max", std::int64_t{1800}));
  monitoring.model_quality = analysis_of(json_or(given, "model_quality", Json::object()));
  monitoring.bias = analysis_of(json_or(given, "bias", Json::object()));
  monitoring.explainability = analysis_of(json_or(given, "explainability", Json::object()));
  return monitoring;
}

// The workspace's keyring of keys that are destroyed to erase what they seal, opened when it is first needed.
class OwnKeys final : public provider::Kms {
 public:
  explicit OwnKeys(governance::Workspace& workspace) : workspace_(workspace) {}
  Result<Bytes> wrap(std::string_view uri, const Secret& data_key, const provider::EncryptionContext& context) override { return TRY(workspace_.own_keys())->wrap(uri, data_key, context); }
  Result<Secret> unwrap(std::string_view uri, ByteView wrapped, const provider::EncryptionContext& context) override { return TRY(workspace_.own_keys())->unwrap(uri, wrapped, context); }
  Status create_key(std::string_view uri) override { return TRY(workspace_.own_keys(governance::Workspace::Missing::make))->create_key(uri); }
  Status rotate_key(std::string_view uri) override { return TRY(workspace_.own_keys())->rotate_key(uri); }
  Status destroy_key(std::string_view uri) override { return TRY(workspace_.own_keys())->destroy_key(uri); }

 private:
  governance::Workspace& workspace_;
};

}  // namespace

// Declared in the order of use: what stands on something comes behind it.
struct Providers::State {
  State(const Json& given, governance::Workspace& opened, const Clock& time, Duty first) : config(given), workspace(opened), clock(time), duty(first) {}

  Json config;
  governance::Workspace& workspace;
  const Clock& clock;
  Duty duty;
  std::unique_ptr<provider::aws::Client> aws;
  std::unique_ptr<provider::aws::AwsKms> aws_kms;
  std::unique_ptr<provider::Kms> kms, own_keys;
  std::string key_uri;  // of what seals objects; empty: the workspace's
  std::unique_ptr<provider::ObjectStore> objects, layered;  // the second, where it is there, stands before the first
  vault::ArtifactStore::OnRead on_read;
  std::unique_ptr<vault::ArtifactStore> artifacts;
  std::map<std::string, std::unique_ptr<provider::ObjectStore>> stores;  // by URI
  struct Part {
    std::unique_ptr<provider::ObjectStore> objects;
    std::unique_ptr<vault::ArtifactStore> artifacts;
  };
  std::map<std::tuple<provider::ObjectStore*, std::string, std::string>, Part> parts;
  std::unique_ptr<provider::SecretStore> secrets;
  std::unique_ptr<provider::ImageStore> near_images, far_images, images;  // the last publishes the first to the second
  std::unique_ptr<provider::ImageFindings> registry_findings;
  std::unique_ptr<provider::JobRunner> local_runner;
  std::unique_ptr<provider::ObjectStore> staging;
  std::unique_ptr<provider::JobRunner> sagemaker;
  std::unique_ptr<provider::ModelRegistry> registry;
  std::unique_ptr<provider::ObjectStore> registry_objects;
  std::unique_ptr<provider::aws::SagemakerRegistry> far_registry;
  std::unique_ptr<provider::AuditSink> audit_sink;
  std::unique_ptr<provider::ObjectStore> endpoint_models;
  std::unique_ptr<provider::EndpointHost> endpoint_host;
  std::unique_ptr<provider::EndpointMonitor> endpoint_monitor;
};

Providers::Providers(std::unique_ptr<State> state) : state_(std::move(state)) {}
Providers::~Providers() = default;

Result<std::unique_ptr<Providers>> Providers::create(const Json& config, governance::Workspace& workspace, const Clock& clock, Duty duty) {
  std::unique_ptr<Providers> providers(new Providers(std::make_unique<State>(config, workspace, clock, duty)));
  TRY(providers->open_stores());
  return providers;
}

// Keys, objects and secrets. What is embedded stays the workspace's own; a store of objects that is sealed by another keeper,
// or lies elsewhere, gets artifacts of its own.
Status Providers::open_stores() {
  auto& state = *state_;
  const auto kms = pipeline::choice_of(state.config, "kms"), objects = pipeline::choice_of(state.config, "objects"), secrets = pipeline::choice_of(state.config, "secrets");
  if (kms.kind == "aws-kms") {
    state.aws_kms = std::make_unique<provider::aws::AwsKms>(*TRY(aws()));
    state.kms = std::make_unique<provider::KmsRouter>(std::map<std::string, provider::Kms*, std::less<>>{{"local", &state.workspace.kms()}, {"aws-kms", state.aws_kms.get()}});
    state.key_uri = std::string(provider::aws::kKmsScheme) + json_or(kms.options, "key", "");
  }
  if (objects.kind == "s3") state.objects = TRY(open_bucket(objects.options));
  open_artifacts();
  if (secrets.kind == "secrets-manager") {
    provider::aws::SecretsManagerStoreOptions store{json_or(secrets.options, "prefix", ""), json_or(secrets.options, "kms_key", "")};
    store.recovery_days = static_cast<int>(json_or(secrets.options, "recovery_days", std::int64_t{30}));
    store.rotation_wait_s_max = static_cast<int>(json_or(secrets.options, "rotation_wait_s", std::int64_t{300}));
    state.secrets = TRY(provider::aws::SecretsManagerStore::create(std::move(store), *TRY(aws())));
  }
  return {};
}

Result<std::unique_ptr<provider::ObjectStore>> Providers::open_bucket(const Json& options, bool keep_versions) {
  provider::aws::S3ObjectStoreOptions bucket;
  bucket.bucket = json_or(options, "bucket", "");
  bucket.prefix = json_or(options, "prefix", "");
  bucket.kms_key = json_or(options, "kms_key", "");
  bucket.keep_versions = keep_versions;
  return std::unique_ptr<provider::ObjectStore>(TRY(provider::aws::S3ObjectStore::create(std::move(bucket), *TRY(aws()))));
}

const Json& Providers::config() const { return state_->config; }
provider::ObjectStore& Providers::first_objects() { return state_->objects ? *state_->objects : state_->workspace.objects(); }
provider::ObjectStore& Providers::objects() { return state_->layered ? *state_->layered : first_objects(); }

vault::SealingKey Providers::sealing_key() const {
  return state_->key_uri.empty() ? state_->workspace.sealing_key() : vault::SealingKey{state_->kms.get(), state_->key_uri};
}

// What is neither layered nor sealed elsewhere is the workspace's own.
void Providers::open_artifacts() {
  auto& state = *state_;
  state.artifacts.reset();
  if (state.kms || state.objects || state.layered) {
    state.artifacts = std::make_unique<vault::ArtifactStore>(objects(), vault::ArtifactStore::Options{state.workspace.id(), sealing_key(), state.workspace.layout().spool()});
  }
  artifacts().on_read(state.on_read);
}

Result<provider::ObjectStore*> Providers::store_at(const std::string& uri) {
  if (const auto known = state_->stores.find(uri); known != state_->stores.end()) return known->second.get();
  std::unique_ptr<provider::ObjectStore> store;
  if (uri.starts_with("file:/")) {
    const std::filesystem::path folder = uri.substr(5);
    // Made by who names it in a policy: one that is gone may be a disk that is not mounted.
    if (!is_folder(folder)) return fail(ErrorCode::unavailable, "the folder of a store is not there", folder.string(), "mount its disk; if it is new, make the folder");
    store = TRY(provider::local::LocalObjectStore::open(folder));
  } else if (uri.starts_with("s3://")) {
    const auto question = uri.find("?kms_key=");
    const auto slash = std::min(uri.find('/', 5), question);
    if (question == uri.npos) return fail(ErrorCode::invalid_argument, "the URI of a bucket names no key", uri, "write s3://BUCKET/PREFIX?kms_key=KEY");
    std::string prefix = uri.substr(slash, question - slash);
    prefix.erase(0, prefix.starts_with('/') ? 1 : 0);
    if (!prefix.empty() && !prefix.ends_with('/')) prefix += '/';
    store = TRY(open_bucket({{"bucket", uri.substr(5, slash - 5)}, {"prefix", prefix}, {"kms_key", uri.substr(question + 9)}}));
  } else {
    return fail(ErrorCode::invalid_argument, "not the URI of a store", uri, "write file:/FOLDER or s3://BUCKET/PREFIX?kms_key=KEY");
  }
  return state_->stores.emplace(uri, std::move(store)).first->second.get();
}

void Providers::set_layers(provider::ObjectStore* replica, provider::ObjectStore* archive) {
  if (replica == nullptr && archive == nullptr) return;
  const auto lag = [](std::string_view key, const Error& error) { spdlog::warn("the replica did not get {}: {} ({}); 'redoubt vault replicate' makes it up", key, error.message, error.where); };
  state_->layered = std::make_unique<provider::LayeredObjectStore>(first_objects(), provider::LayeredObjectStore::Layers{replica, archive, lag});
  open_artifacts();
}

void Providers::on_read(vault::ArtifactStore::OnRead hook) {
  state_->on_read = std::move(hook);
  artifacts().on_read(state_->on_read);
}

std::string Providers::own_key_uri(const std::string& id) const {
  return state_->kms == nullptr ? "own:" + id : std::string(provider::aws::kKmsScheme) + "alias/redoubt-" + state_->workspace.id().substr(0, 12) + "-" + id;
}

Result<provider::Kms*> Providers::keeper_of(const std::string& key_uri) {
  if (key_uri.starts_with("own:")) {
    if (!state_->own_keys) state_->own_keys = std::make_unique<OwnKeys>(state_->workspace);
    return state_->own_keys.get();
  }
  if (state_->kms) return state_->kms.get();
  return fail(ErrorCode::unavailable, "the keeper of this key is not among the providers", key_uri, "name it in the block 'kms' of the providers");
}

Result<vault::ArtifactStore*> Providers::artifacts_in(provider::ObjectStore& store, const std::string& prefix, const std::string& key_uri) {
  auto& part = state_->parts[{&store, prefix, key_uri}];
  if (part.artifacts) return part.artifacts.get();
  const auto key = key_uri.empty() ? sealing_key() : vault::SealingKey{TRY(keeper_of(key_uri)), key_uri};
  if (!prefix.empty()) part.objects = std::make_unique<provider::PrefixedObjectStore>(store, prefix);
  part.artifacts = std::make_unique<vault::ArtifactStore>(part.objects ? *part.objects : store, vault::ArtifactStore::Options{state_->workspace.id(), key, state_->workspace.layout().spool()});
  part.artifacts->on_read([this, prefix](const std::string& object, std::uint64_t bytes) { return state_->on_read ? state_->on_read(prefix + object, bytes) : Status{}; });
  return part.artifacts.get();
}

vault::ArtifactStore& Providers::artifacts() { return state_->artifacts ? *state_->artifacts : state_->workspace.artifacts(); }
provider::SecretStore& Providers::secrets() { return state_->secrets ? *state_->secrets : state_->workspace.secrets(); }

Result<provider::ImageStore*> Providers::images() {
  if (state_->near_images == nullptr) state_->near_images = TRY(provider::local::LocalImageStore::open(state_->workspace.layout().images()));
  const auto choice = pipeline::choice_of(state_->config, "images");
  if (choice.kind != "ecr") return state_->near_images.get();
  if (state_->images != nullptr) return state_->images.get();
  provider::aws::EcrImageStoreOptions options;
  options.repository = json_or(choice.options, "repository", "");
  options.kms_key = json_or(choice.options, "kms_key", "");
  options.registry_url = json_or(choice.options, "registry_url", "");
  options.ca_file = json_or(choice.options, "ca_file", "");
  state_->far_images = TRY(provider::aws::open_ecr_image_store(std::move(options), *TRY(aws()), state_->clock));
  state_->images = std::make_unique<provider::MirroredImageStore>(*state_->near_images, *state_->far_images);
  return state_->images.get();
}

Result<provider::ImageFindings*> Providers::registry_findings() {
  const auto choice = pipeline::choice_of(state_->config, "images");
  // A registry that ECR did not name is not ECR's to scan, unless the file says so.
  const std::int64_t usual_s = json_or(choice.options, "registry_url", "").empty() ? 900 : 0;
  const auto wait_s = json_or(choice.options, "findings_wait_s", usual_s);
  if (choice.kind != "ecr" || wait_s == 0) return nullptr;
  if (state_->registry_findings == nullptr) {
    provider::aws::EcrFindingsOptions options{json_or(choice.options, "repository", "")};
    options.wait.total_s_max = static_cast<int>(wait_s);
    options.wait.pause_ms_max = static_cast<int>(std::min<std::int64_t>(options.wait.pause_ms_max, wait_s * 1000));
    state_->registry_findings = std::make_unique<provider::aws::EcrFindings>(std::move(options), *TRY(aws()));
  }
  return state_->registry_findings.get();
}

Result<provider::JobRunner*> Providers::runner(std::string_view step) {
  const auto jobs = pipeline::choice_of(state_->config, "jobs");
  const auto steps = strings_of(json_or(jobs.options, "steps", Json::array()));
  if (jobs.kind == "sagemaker" && std::find(steps.begin(), steps.end(), step) != steps.end()) return sagemaker(jobs.options);
  if (state_->local_runner == nullptr) state_->local_runner = std::make_unique<provider::local::LocalJobRunner>(provider::local::LocalJobRunnerOptions{}, *TRY(images()));
  return state_->local_runner.get();
}

Result<provider::JobRunner*> Providers::sagemaker(const Json& given) {
  if (state_->sagemaker != nullptr) return state_->sagemaker.get();
  state_->staging = TRY(open_bucket(given, false));  // plain but for the bucket's key, so gone at once
  provider::aws::SagemakerJobOptions options;
  options.image_repository = json_or(given, "image_repository", "");
  options.role_arn = json_or(given, "role_arn", "");
  options.staging_uri = "s3://" + json_or(given, "bucket", "") + "/" + json_or(given, "prefix", "");
  options.kms_key = json_or(given, "kms_key", "");
  options.subnets = strings_of(json_or(given, "subnets", Json::array()));
  options.security_groups = strings_of(json_or(given, "security_groups", Json::array()));
  options.instance_type = json_or(given, "instance_type", "");
  options.spot = json_or(given, "spot", true);
  options.experiment = json_or(given, "experiment", "");
  options.workspace = state_->workspace.id();
  options.poll = std::chrono::milliseconds(static_cast<std::int64_t>(json_or(given, "poll_s", 5.0) * 1000));
  state_->sagemaker = TRY(provider::aws::SagemakerJobRunner::create(std::move(options), *TRY(aws()), *state_->staging));
  return state_->sagemaker.get();
}

Result<provider::aws::SagemakerRegistry*> Providers::sagemaker_registry(const Json& given) {
  if (state_->far_registry != nullptr) return state_->far_registry.get();
  state_->registry_objects = TRY(open_bucket(given));
  provider::aws::SagemakerRegistryOptions options;
  options.workspace = state_->workspace.id();
  options.group_prefix = json_or(given, "group_prefix", "redoubt-");
  options.objects_uri = "s3://" + json_or(given, "bucket", "") + "/" + json_or(given, "prefix", "");
  options.kms_key = json_or(given, "kms_key", "");
  options.image = json_or(given, "image", "");
  options.model_data_uri = json_or(given, "models_uri", "");
  state_->far_registry = TRY(provider::aws::SagemakerRegistry::create(std::move(options), *TRY(aws()), *state_->registry_objects));
  return state_->far_registry.get();
}

Result<provider::ModelRegistry*> Providers::registry() {
  if (const auto choice = pipeline::choice_of(state_->config, "registry"); choice.kind == "sagemaker") return TRY(sagemaker_registry(choice.options));
  if (state_->registry == nullptr) {
    auto mac_key = TRY(state_->workspace.named_key("registry-mac"));
    state_->registry = TRY(provider::local::SqliteRegistry::open({state_->workspace.layout().registry(), std::move(mac_key)}));
  }
  return state_->registry.get();
}

Status Providers::discard_registry() {
  if (const auto choice = pipeline::choice_of(state_->config, "registry"); choice.kind == "sagemaker") return TRY(sagemaker_registry(choice.options))->rewind();
  state_->registry.reset();
  return provider::local::SqliteRegistry::discard(state_->workspace.layout().registry());
}

Result<provider::aws::Client*> Providers::aws() {
  if (state_->aws != nullptr) return state_->aws.get();
  state_->aws = TRY(open_aws_client(json_or(state_->config, "aws", Json::object()), state_->clock));
  TRY(act_for(state_->duty));
  return state_->aws.get();
}

Status Providers::act_for(Duty duty) {
  state_->duty = duty;
  if (state_->aws == nullptr) return {};  // it starts with it
  const Json roles = json_or(json_or(state_->config, "aws", Json::object()), "roles", Json::object());
  return state_->aws->act_as(json_or(roles, std::string(to_string(duty)).c_str(), ""));
}

void Providers::give_up() {
  if (state_->aws != nullptr) state_->aws->give_up();
}

Result<provider::EndpointHost*> Providers::endpoint_host(const GlobalOptions& options) {
  if (state_->endpoint_host != nullptr) return state_->endpoint_host.get();
  const auto choice = pipeline::choice_of(state_->config, "endpoint");
  if (choice.kind != "sagemaker") {
    const auto program_of = [options](const std::string& environment) { return endpoint_program(options, environment); };
    state_->endpoint_host = std::make_unique<provider::local::LocalEndpointHost>(options.workspace, program_of);
    return state_->endpoint_host.get();
  }
  state_->endpoint_host = TRY(provider::aws::SagemakerEndpoint::create(sagemaker_endpoint_options(choice.options), *TRY(aws()), *TRY(endpoint_models(choice.options))));
  return state_->endpoint_host.get();
}

Result<provider::EndpointMonitor*> Providers::endpoint_monitor() {
  const auto choice = pipeline::choice_of(state_->config, "endpoint");
  if (choice.kind != "sagemaker") return nullptr;
  if (state_->endpoint_monitor != nullptr) return state_->endpoint_monitor.get();
  state_->endpoint_monitor = TRY(provider::aws::SagemakerMonitor::create(sagemaker_endpoint_options(choice.options), *TRY(aws()), *TRY(endpoint_models(choice.options))));
  return state_->endpoint_monitor.get();
}

Result<provider::ObjectStore*> Providers::endpoint_models(const Json& options) {
  if (state_->endpoint_models == nullptr) state_->endpoint_models = TRY(open_bucket(options));
  return state_->endpoint_models.get();
}

provider::aws::SagemakerEndpointOptions Providers::sagemaker_endpoint_options(const Json& given) const {
  provider::aws::SagemakerEndpointOptions endpoint;
  endpoint.workspace = state_->workspace.id();
  endpoint.name_prefix = json_or(given, "name_prefix", "redoubt");
  endpoint.image_repository = json_or(given, "image_repository", "");
  endpoint.role_arn = json_or(given, "role_arn", "");
  endpoint.models_uri = "s3://" + json_or(given, "bucket", "") + "/" + json_or(given, "prefix", "");
  endpoint.kms_key = json_or(given, "kms_key", "");
  endpoint.capture_uri = json_or(given, "capture_uri", "");
  endpoint.subnets = strings_of(json_or(given, "subnets", Json::array()));
  endpoint.security_groups = strings_of(json_or(given, "security_groups", Json::array()));
  endpoint.instance_type = json_or(given, "instance_type", "");
  endpoint.instances = static_cast<int>(json_or(given, "instances", std::int64_t{1}));
  endpoint.instances_max = static_cast<int>(json_or(given, "instances_max", std::int64_t{1}));
  endpoint.invocations_per_instance = static_cast<int>(json_or(given, "invocations_per_instance", std::int64_t{60}));
  endpoint.canary_percent = static_cast<int>(json_or(given, "canary_percent", std::int64_t{10}));
  endpoint.canary_wait_s = static_cast<int>(json_or(given, "canary_wait_s", std::int64_t{300}));
  endpoint.healthy_s_max = static_cast<int>(json_or(given, "healthy_s_max", std::int64_t{1800}));
  endpoint.wait_s_max = static_cast<int>(json_or(given, "wait_s_max", std::int64_t{0}));
  endpoint.topic_arn = json_or(pipeline::choice_of(state_->config, "alarms").options, "topic_arn", "");
  endpoint.rollback_alarms = strings_of(json_or(given, "rollback_alarms", Json::array()));
  endpoint.poll_ms = static_cast<int>(json_or(given, "poll_s", 10.0) * 1000);
  const Json failover = json_or(given, "failover", Json::object());
  endpoint.failover = {json_or(failover, "hosted_zone", ""), json_or(failover, "record", ""), json_or(failover, "role", "PRIMARY"), json_or(failover, "health_check", "")};
  endpoint.monitoring = monitoring_of(json_or(given, "monitoring", Json::object()));
  endpoint.monitoring.metric_namespace = json_or(pipeline::choice_of(state_->config, "alarms").options, "namespace", "Redoubt");
  return endpoint;
}

Result<std::vector<provider::aws::AccountFinding>> Providers::account_findings() {
  if (!state_->config.contains("aws")) {
    return fail(ErrorCode::unsupported, "the workspace's providers name no AWS account", {}, "name one in the block 'aws' of the providers file, and give it to 'redoubt run' or 'redoubt init'");
  }
  return provider::aws::read_account_findings(*TRY(aws()), state_->clock);
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
    options.also_under = {{"Environment", environment}};  // the alarms of cloudformation_template.yaml know no workspace
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
