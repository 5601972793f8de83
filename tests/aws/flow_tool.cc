// SPDX-License-Identifier: Apache-2.0
//
// Whole flows over AWS's providers, for tests that spoil the line: a JSON request a line on stdin, a JSON answer a line on stdout. Each
// order gets a client of its own, as a program that is started anew.
//   {"do": "deploy" | "stop", "bucket", "version", "rollback", "monitoring"}  an endpoint of the environment dev
//   {"do": "withdraw", "bucket", "version"}  {"do": "monitor", "bucket"}       a version of it; a run of what watches it
//   {"do": "train", "bucket", "kms_key", "role", "image"}
//   {"do": "register" | "list", "bucket", "versions"}      versions 0.1.0 to 0.VERSIONS.0, the first one approved and described
//   {"do": "alarms"}  {"do": "mirror", "entries"}  {"do": "notify", "topic"}
//   {"do": "push", "registry_url", "ca_file", "findings"}  a repository, an image in it, what ECR finds in it
//   {"do": "secret", "value"}  {"do": "rotate"}  {"do": "object", "bucket", "kms_key", "bytes"}  {"do": "key", "alias"}
#include <fmt/format.h>

#include <iostream>

#include "base/log.h"
#include "base/memory_object.h"
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
#include "provider/testing/job_files.h"

namespace redoubt {
namespace {

using namespace provider::aws;

constexpr const char* kWorkspace = "0123456789abcdef";
constexpr const char* kRepository = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/redoubt";

std::string digest_of(char digit) { return "sha256:" + std::string(64, digit); }

class Flow {
 public:
  static Result<Json> run(const Json& order) {
    const SystemClock clock;
    const auto client = TRY(Client::create({}, clock));
    Flow flow(*client, clock, order);
    const std::map<std::string, Result<Json> (Flow::*)()> flows = {
        {"deploy", &Flow::deploy}, {"stop", &Flow::stop}, {"train", &Flow::train}, {"register", &Flow::enter}, {"list", &Flow::list}, {"alarms", &Flow::alarms},
        {"mirror", &Flow::mirror}, {"notify", &Flow::notify}, {"push", &Flow::push}, {"secret", &Flow::secret}, {"object", &Flow::object}, {"key", &Flow::key},
        {"withdraw", &Flow::withdraw}, {"monitor", &Flow::monitor}, {"rotate", &Flow::rotate}};
    const auto found = flows.find(flow.text("do"));
    if (found == flows.end()) return fail(ErrorCode::invalid_argument, "no such flow", flow.text("do"));
    return (flow.*found->second)();
  }

 private:
  Flow(Client& client, const Clock& clock, const Json& order) : client_(client), clock_(clock), order_(order) {}
  std::string text(const char* name) const { return json_or(order_, name, ""); }
  std::int64_t number(const char* name, std::int64_t fallback) const { return json_or(order_, name, fallback); }

  Result<std::unique_ptr<S3ObjectStore>> bucket(const char* prefix, bool keep_versions = true) {
    S3ObjectStoreOptions options;
    options.bucket = text("bucket");
    options.prefix = prefix;
    options.kms_key = json_or(order_, "kms_key", "alias/aws/s3");
    options.keep_versions = keep_versions;
    return S3ObjectStore::create(options, client_);
  }

  SagemakerEndpointOptions endpoint_options() const {
    SagemakerEndpointOptions options;
    options.workspace = kWorkspace;
    options.image_repository = kRepository;
    options.role_arn = "arn:aws:iam::123456789012:role/redoubt-endpoint";
    options.models_uri = "s3://" + text("bucket") + "/endpoints/";
    options.instances_max = 2;
    options.poll_ms = 5;
    const std::string mode = text("monitoring");
    options.monitoring.mode = mode.empty() ? MonitoringMode::off : mode == "processing" ? MonitoringMode::processing : MonitoringMode::model_monitor;
    options.monitoring.role_arn = "arn:aws:iam::123456789012:role/redoubt-monitor-job";
    options.monitoring.scheduler_role_arn = "arn:aws:iam::123456789012:role/redoubt-schedule";
    return options;
  }

  Result<std::unique_ptr<SagemakerEndpoint>> endpoint(provider::ObjectStore& models) { return SagemakerEndpoint::create(endpoint_options(), client_, models); }
  std::string version() const { return fmt::format("0.{}.0", number("version", 1)); }

  Result<Json> deploy() {
    const auto models = TRY(bucket("endpoints/"));
    provider::EndpointSpec spec;
    spec.environment = "dev";
    spec.model = "assistant";
    spec.version = version();
    spec.rollback = json_or(order_, "rollback", false);
    spec.baseline = [] { return std::optional(provider::DriftBaseline{{{"features", Json::array()}}, {{"features", Json::array()}}}); };
    spec.deployment = spec.release = digest_of(static_cast<char>('0' + number("version", 1)));
    spec.image = digest_of('a');
    spec.files = [] { return std::vector<provider::JobFile>{provider::testing::file("base/config.json", "{}"), provider::testing::file("base/model.bin", "weights")}; };
    return TRY(TRY(endpoint(*models))->deploy(spec)).to_json();
  }

  Result<Json> stop() {
    const auto models = TRY(bucket("endpoints/"));
    TRY(TRY(endpoint(*models))->stop("dev"));
    return Json::object();
  }

  Result<Json> withdraw() {
    const auto models = TRY(bucket("endpoints/"));
    TRY(TRY(endpoint(*models))->withdraw("dev", "assistant", version()));
    return TRY(TRY(endpoint(*models))->status("dev")).to_json();
  }

  Result<Json> monitor() {
    const auto models = TRY(bucket("endpoints/"));
    const auto monitor = TRY(SagemakerMonitor::create(endpoint_options(), client_, *models));
    return TRY(monitor->run("dev")).drift;
  }

  Result<Json> train() {
    const auto staging = TRY(bucket("work/", false));
    SagemakerJobOptions options;
    options.image_repository = kRepository;
    options.role_arn = text("role");
    options.staging_uri = "s3://" + text("bucket") + "/work/";
    options.kms_key = text("kms_key");
    options.workspace = kWorkspace;
    options.poll = std::chrono::milliseconds(10);
    options.outage_max = std::chrono::seconds(5);
    provider::JobSpec spec;
    spec.image = text("image");
    spec.entry_point = "train";
    spec.hyperparameters = {{"epochs", 1}};
    spec.channels["train"] = {provider::testing::file("data.jsonl", "{}\n")};
    spec.time_s_max = 60;
    provider::testing::Kept kept;
    const auto result = TRY(TRY(SagemakerJobRunner::create(options, client_, *staging))->run(spec, kept));
    return Json{{"exit_code", result.exit_code}, {"failure", result.failure}, {"model", kept.model}};
  }

  Result<std::unique_ptr<SagemakerRegistry>> registry(provider::ObjectStore& objects) {
    SagemakerRegistryOptions options;
    options.workspace = kWorkspace;
    options.objects_uri = "s3://" + text("bucket") + "/";
    return SagemakerRegistry::create(options, client_, objects);
  }

  Result<Json> enter() {
    const auto objects = TRY(bucket(""));
    const auto registry = TRY(this->registry(*objects));
    std::vector<provider::RegistryChange> changes;
    for (std::int64_t version = 1; version <= number("versions", 1); ++version) {
      provider::ModelVersion made;
      made.name = "assistant";
      made.version = fmt::format("0.{}.0", version);
      made.digest = digest_of(static_cast<char>('0' + version));
      made.metrics = {{"eval_loss", 1.25}};
      made.created = "2026-01-02T03:04:05.000Z";
      made.created_by = "operator";
      made.statement = digest_of('b');
      changes.push_back({static_cast<std::uint64_t>(2 * version), {made}, {}});
    }
    changes.push_back({100, {}, {{"assistant", "0.1.0", provider::VersionState::approved, "read the card"}}});
    TRY(registry->apply(changes));
    TRY(registry->describe(TRY(registry->get("assistant", "0.1.0")), {{"name", "assistant"}, {"version", "0.1.0"}, {"state", "Approved"}}, {{"train-adapter", digest_of('c')}, {"data-train", digest_of('d')}}));
    return list();
  }

  Result<Json> list() {
    const auto objects = TRY(bucket(""));
    Json versions = Json::array();
    for (const auto& version : TRY(TRY(registry(*objects))->list())) versions.push_back({version.version, provider::to_string(version.state)});
    return Json{{"versions", versions}};
  }

  Result<Json> alarms() {
    CloudWatchAlarmsOptions options;
    options.name_prefix = std::string("redoubt-") + kWorkspace + "-dev-";
    options.dimensions = {{"Environment", "dev"}};
    const auto alarms = TRY(CloudWatchAlarms::create(options, client_, clock_));
    TRY(alarms->define({{"Errors", "failed in a minute", 10}, {"Latency", "of an answer, ms", 1000, 1, 3, provider::MetricUnit::milliseconds}}));
    TRY(alarms->put({{"Errors", 3.0}, {"Latency", 20.0}}));
    Json names = Json::array();
    for (const auto& alarm : TRY(alarms->read())) names.push_back(alarm.definition.name);
    return Json{{"alarms", names}};
  }

  Result<Json> mirror() {
    CloudWatchAuditSinkOptions options;
    options.origin = std::string("redoubt.local/") + kWorkspace;
    const auto sink = TRY(CloudWatchAuditSink::create(options, client_, clock_));
    std::vector<provider::AuditEntry> entries;
    for (auto index = TRY(sink->next_index()); index < static_cast<std::uint64_t>(number("entries", 4)); ++index) {
      entries.push_back({index, clock_.now(), options.origin, index % 2 == 0 ? "train" : "secret", "operator", digest_of('a'), {{"rows", index}}});
    }
    TRY(sink->append(entries));
    return Json{{"next", TRY(sink->next_index())}};
  }

  Result<Json> notify() {
    const auto notifier = TRY(SnsNotifier::create({text("topic")}, client_, clock_));
    TRY(notifier->notify("an alarm rose", {{"name", "Errors"}, {"state", "ALARM"}, {"environment", "dev"}}));
    return Json::object();
  }

  Result<Json> push() {
    const auto store = TRY(open_ecr_image_store({.repository = "redoubt", .registry_url = text("registry_url"), .ca_file = text("ca_file")}, client_, clock_));
    const auto put = [&](const std::string& contents) -> Result<Digest> {
      const Bytes bytes = to_bytes(contents);
      MemorySource source(bytes);
      return store->put_blob(source);
    };
    const auto config = TRY(put("{}"));
    const Json manifest = {{"schemaVersion", 2}, {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                           {"config", {{"mediaType", "application/vnd.oci.image.config.v1+json"}, {"digest", config.tagged()}, {"size", 2}}}, {"layers", Json::array()}};
    const auto image = TRY(put(dump_json(manifest)));
    EcrFindingsOptions findings{"redoubt"};
    findings.wait = {1, 10, 1};
    return Json{{"image", image.tagged()}, {"findings", TRY(EcrFindings(findings, client_).read(image)).size()}};
  }

  Result<Json> secret() {
    const auto store = TRY(SecretsManagerStore::create({"redoubt/", ""}, client_));
    TRY(store->put("token", Secret(text("value"))));
    return Json{{"value", to_text(TRY(store->get("token")).reveal(SecretAccess::for_user()))}, {"secrets", TRY(store->list()).size()}};
  }

  Result<Json> rotate() {
    const auto store = TRY(SecretsManagerStore::create({"redoubt/", ""}, client_));
    const auto rotated = TRY(store->rotate("token"));
    return Json{{"rotated", rotated.has_value()}, {"value", to_text(TRY(store->get("token")).reveal(SecretAccess::for_user()))}};
  }

  Result<Json> object() {
    const auto store = TRY(bucket("objects/"));
    const Bytes bytes(static_cast<std::size_t>(number("bytes", 6 << 20)), 'x');
    MemorySource source(bytes);
    TRY(store->put("a", source, provider::PutMode::replace));
    return Json{{"bytes", TRY(store->open("a"))->size()}, {"keys", TRY(store->list(""))}};
  }

  Result<Json> key() {
    AwsKms kms(client_);
    const std::string uri = std::string(kKmsScheme) + text("alias");
    if (const auto made = kms.create_key(uri); !made && made.error().code != ErrorCode::already_exists) return fail(made.error());
    const auto wrapped = TRY(kms.wrap(uri, Secret("a data key"), {{"name", "n"}}));
    return Json{{"text", to_text(TRY(kms.unwrap(uri, wrapped, {{"name", "n"}})).reveal(SecretAccess::for_user()))}};
  }

  Client& client_;
  const Clock& clock_;
  const Json& order_;
};

}  // namespace
}  // namespace redoubt

int main() {
  using namespace redoubt;
  set_up_log(spdlog::level::off);  // standard output is the answers'
  for (std::string line; std::getline(std::cin, line);) {
    const auto order = parse_json(line, "stdin");
    const auto answer = order ? Flow::run(*order) : Result<Json>(fail(order.error()));
    const Json told = answer ? *answer : Json{{"error", {{"code", to_string(answer.error().code)}, {"message", answer.error().message}, {"where", answer.error().where}, {"hint", answer.error().hint}}}};
    std::cout << dump_json(told) << std::endl;
  }
}
