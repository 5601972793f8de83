// SPDX-License-Identifier: Apache-2.0
#include "pipeline/config.h"

#include <set>
#include <utility>

#include "advisories/vex.h"
#include "base/check.h"
#include "base/file.h"
#include "base/schema.h"
#include "crypto/sign.h"
#include "crypto/x509.h"
#include "gateway/access.h"
#include "gateway/rollout.h"
#include "gateway/scaling.h"
#include "guards/options.h"
#include "http/client.h"
#include "pipeline/data_policy.h"
#include "pipeline/providers.h"
#include "pipeline/schemas.h"
#include "provider/registry/reference.h"
#include "telemetry/options.h"

namespace redoubt::pipeline {
namespace fs = std::filesystem;
namespace {

Result<Json> check_config(const YamlDocument& document, const char* schema_text) {
  Json checked = TRY(check_against_schema(document, Json::parse(schema_text)));
  checked.erase("version");
  return checked;
}

Result<Json> load_checked(const fs::path& file, const char* schema_text) { return check_config(TRY(load_yaml(file)), schema_text); }

// The schema has checked presence and types, so these can't fail for input.
template <class T>
T get(const Json& object, const char* key) {
  return object.at(key).get<T>();
}

fs::path relative_to(const fs::path& config, const std::string& path) {
  return (config.parent_path() / path).lexically_normal();
}

// A file that another one names; one that can't be opened is a mistake of that one.
template <class Load>
auto named_file(const char* key, const fs::path& config, const std::string& path, const Load& load) {
  auto loaded = load(relative_to(config, path));
  if (!loaded && loaded.error().where == relative_to(config, path).string()) {
    auto& [code, message, where, hint] = loaded.error();
    if (code == ErrorCode::not_found) code = ErrorCode::invalid_argument;
    message = std::string(key) + ": " + message;
    if (hint.empty()) hint = "named in " + config.string();
  }
  return loaded;
}

Result<ModelOptions> read_model(const Json& json, const fs::path& config) {
  ModelOptions model;
  model.repository = get<std::string>(json, "repository");
  model.revision = get<std::string>(json, "revision");
  model.endpoint = get<std::string>(json, "endpoint");
  model.ca_file = get<std::string>(json, "ca_file");
  if (!model.ca_file.empty()) model.ca_file = relative_to(config, model.ca_file).string();
  model.token_secret = get<std::string>(json, "token_secret");
  model.license = get<std::string>(json, "license");
  model.allowed_hosts = get<std::vector<std::string>>(json, "allowed_hosts");
  model.size_gib_max = get<std::uint64_t>(json, "size_gib_max");
  const auto signers = get<std::string>(json, "signers");
  if (!signers.empty()) model.signers = TRY(named_file("model.signers", config, signers, load_signers));
  return model;
}

Result<DataOptions> read_data(const YamlDocument& document, const Json& json, const fs::path& config) {
  DataOptions data;
  const auto file = get<std::string>(json, "file");
  if (file.starts_with("vault:")) {
    data.vault = file;
  } else {
    data.file = relative_to(config, file);
  }
  data.eval_fraction = get<double>(json, "eval_fraction");
  data.seed = get<std::uint64_t>(json, "seed");
  data.question = get<std::string>(json, "question") == "user" ? rows::Question::user : rows::Question::prompt;
  if (const auto policy = get<std::string>(json, "policy"); !policy.empty()) data.policy = TRY(named_file("data.policy", config, policy, load_data_policy));
  if (auto accepted = data.policy.accept(get<std::vector<std::string>>(json, "accept")); !accepted) {
    accepted.error().where = document.locate("/data/accept");
    return fail(std::move(accepted.error()));
  }
  return data;
}

constexpr std::uint64_t kVexBytesMax = 64 << 20, kKeyBytesMax = 64 << 10;

std::vector<fs::path> read_paths(const Json& list, const fs::path& config) {
  std::vector<fs::path> paths;
  for (const auto& path : list) paths.push_back(relative_to(config, path.get<std::string>()));
  return paths;
}

// Read now, so that what is wrong with a document is said before anything runs, and what was read is what counts.
Result<ImageOptions::Document> read_vex_file(const fs::path& file, std::optional<TimePoint> until) {
  auto text = read_text_file(file, kVexBytesMax);
  if (!text) return fail(ErrorCode::invalid_argument, "image.vex: " + text.error().message, file.string());
  TRY(advisories::read_vex(*text, file.string(), {}, until));
  return ImageOptions::Document{file, std::move(*text)};
}

Result<ImageOptions> read_image(const YamlDocument& document, const Json& json, const fs::path& config) {
  ImageOptions image;
  image.name = get<std::string>(json, "name");
  image.apt_security = get<bool>(json, "apt_security");
  image.osv = read_paths(json.at("osv"), config);
  image.debian_tracker = read_paths(json.at("debian_tracker"), config);
  image.epss = read_paths(json.at("epss"), config);
  image.kev = read_paths(json.at("kev"), config);
  if (const auto until = get<std::string>(json, "vex_until"); !until.empty()) image.vex_until = TRY(advisories::parse_end_date(until, document.locate("/image/vex_until")));
  for (const auto& file : read_paths(json.at("vex"), config)) image.vex.push_back(TRY(read_vex_file(file, image.vex_until)));
  image.feed_age_days_max = get<int>(json, "feed_age_days_max");
  image.accepted_findings = json.at("accepted_findings");
  return image;
}

// The registry that is asked for signatures; of its authority the whole path, since deployments start from anywhere.
Status read_signature_source(Json& images, const fs::path& file) {
  if (!images.contains("signatures_from")) return {};
  if (images["signed_by"].empty()) return fail(ErrorCode::invalid_argument, "images.signatures_from names a registry, and images.signed_by nobody whose signature is looked for there", file.string());
  Json& from = images["signatures_from"];
  const auto repository = get<std::string>(from, "repository");
  const auto reference = provider::registry::parse_remote_reference(repository);
  if (!reference) return fail(ErrorCode::invalid_argument, "images.signatures_from.repository: " + reference.error().message, file.string(), "write https://HOST[:PORT]/NAME");
  if (!reference->tag.empty()) return fail(ErrorCode::invalid_argument, "images.signatures_from.repository names a tag; the image is found by its digest", file.string(), "leave out :" + reference->tag);
  const auto ca_file = get<std::string>(from, "ca_file");
  if (ca_file.empty()) return {};
  const auto path = fs::absolute(relative_to(file, ca_file)).lexically_normal();
  if (!is_plain_file(path)) return fail(ErrorCode::invalid_argument, "images.signatures_from.ca_file is no file", path.string(), "named in " + file.string());
  from["ca_file"] = path.string();
  return {};
}

// With the signers' keys in the place of their files' names.
Result<governance::Policy> read_policy(const fs::path& file) {
  Json checked = TRY(load_policy(file));
  std::set<std::string> names, keys;
  for (auto& signer : checked["images"]["signed_by"]) {
    if (!names.insert(get<std::string>(signer, "name")).second) return fail(ErrorCode::invalid_argument, "images.signed_by names a signer twice", file.string());
    const auto path = relative_to(file, get<std::string>(signer, "key"));
    const auto pem = read_text_file(path, kKeyBytesMax);
    if (!pem) return fail(ErrorCode::invalid_argument, "images.signed_by: the key can't be read: " + pem.error().message, path.string(), "named in " + file.string());
    const auto key = crypto::PublicKey::from_pem(*pem);
    if (!key) return fail(ErrorCode::invalid_argument, "images.signed_by: " + key.error().message, path.string(), "name a PEM file with the signer's public key");
    if (!keys.insert(key->to_pem()).second) return fail(ErrorCode::invalid_argument, "images.signed_by names a key twice: one signature would count as two", path.string(), "named in " + file.string());
    signer["key"] = key->to_pem();
  }
  TRY(read_signature_source(checked["images"], file));
  if (std::cmp_greater(get<int>(checked["images"], "signatures_min"), std::max<std::size_t>(names.size(), 1))) {
    return fail(ErrorCode::invalid_argument, "images.signatures_min asks for more signatures than there are signers", file.string());
  }
  return governance::Policy::from_json(checked);
}

// Versions that were registered before there were these have the defaults.
void read_service(const Json& json, DeployOptions& deploy) {
  deploy.access = json_or(json, "access", Json::object());
  deploy.guards = json_or(json, "guards", Json::object());
  deploy.telemetry = json_or(json, "telemetry", Json::object());
  deploy.scale = json_or(json, "scale", Json::object());
  deploy.rollout = json_or(json, "rollout", Json::object());
  deploy.hang_s = static_cast<int>(json_or(json, "hang_s", std::int64_t{deploy.hang_s}));
  deploy.drain_s = static_cast<int>(json_or(json, "drain_s", std::int64_t{deploy.drain_s}));
}

// Where the endpoint listens and what its certificate is for, known before anything runs.
Status check_address(const YamlDocument& document, const Json& json) {
  const auto wrong = [&](const std::string& field, const std::string& text, const char* why, const char* hint) {
    return fail(ErrorCode::invalid_argument, "deploy." + field + ": '" + text + "' " + why, document.locate("/deploy/" + field), hint);
  };
  if (const auto host = get<std::string>(json, "host"); !crypto::is_ip_address(host)) {
    return wrong("host", host, "is no IP address", "name the address to listen at, such as 127.0.0.1, or 0.0.0.0 for every one of this machine's; host names stand in deploy.names");
  }
  for (const auto& name : json.at("names")) {
    const auto text = name.get<std::string>();
    if (!crypto::is_ip_address(text) && !crypto::is_dns_name(text)) return wrong("names", text, "is no host name and no IP address", "such as [localhost, models.example.org]");
  }
  return {};
}

// A file that the endpoint reads, as a whole path, since endpoints start from anywhere.
Status settle_file(Json& object, const char* member, const std::string& name, const fs::path& config) {
  if (!object.contains(member)) return {};
  const auto path = fs::absolute(relative_to(config, get<std::string>(object, member))).lexically_normal();
  if (!is_plain_file(path)) return fail(ErrorCode::invalid_argument, name + "." + member + " is no file", path.string(), "named in " + config.string());
  object[member] = path.string();
  return {};
}

Status settle_files(DeployOptions& deploy, const fs::path& config) {
  auto& access = deploy.access;
  for (const char* member : {"certificate_file", "key_file"}) TRY(settle_file(access, member, "deploy.access", config));
  if (access.contains("oidc"))
    for (const char* member : {"key_set_file", "ca_file"}) TRY(settle_file(access["oidc"], member, "deploy.access.oidc", config));
  if (access.contains("client_certificates")) TRY(settle_file(access["client_certificates"], "ca_file", "deploy.access.client_certificates", config));
  if (deploy.guards.contains("packs"))
    for (auto& pack : deploy.guards["packs"])
      for (const char* member : {"file", "key_file"}) TRY(settle_file(pack, member, "deploy.guards.packs", config));
  if (deploy.telemetry.contains("traces")) TRY(settle_file(deploy.telemetry["traces"], "ca_file", "deploy.telemetry.traces", config));
  return {};
}

// What the endpoint's process would find out at its start, after a training and a review.
Status check_deploy(const YamlDocument& document, const DeployOptions& deploy) {
  const auto check = [&](const auto& read, const std::string& member) -> Status {
    if (read) return {};
    const auto& [code, message, where, hint] = read.error();
    const auto more = where.empty() || where.starts_with("deploy.") ? "" : " (" + where + ")";
    return fail(ErrorCode::invalid_argument, "deploy." + member + ": " + message + more, document.locate("/deploy/" + member), hint);
  };
  TRY(check(gateway::read_access(deploy.access), "access"));
  TRY(check(guards::read_guards(deploy.guards), "guards"));
  TRY(check(telemetry::read_telemetry(deploy.telemetry), "telemetry"));
  TRY(check(gateway::ScaleOptions::from_json(deploy.scale), "scale"));
  if (!deploy.rollout.empty()) TRY(check(gateway::RolloutPlan::from_json(deploy.rollout), "rollout"));
  return {};
}

Status check_webhook(const YamlDocument& document, const std::string& webhook) {
  if (webhook.empty()) return {};
  const auto url = http::parse_url(webhook);
  if (url && http::is_safe_way(*url)) return {};
  return fail(ErrorCode::invalid_argument, "watch.webhook: " + (url ? "a webhook must be https" : url.error().message), document.locate("/watch/webhook"), "only a receiver on this machine may be plain http");
}

Result<DeployOptions> read_deploy(const YamlDocument& document, const Json& json) {
  TRY(check_address(document, json));
  DeployOptions deploy;
  deploy.environment = get<std::string>(json, "environment");
  deploy.host = get<std::string>(json, "host");
  deploy.port = get<int>(json, "port");
  deploy.names = get<std::vector<std::string>>(json, "names");
  deploy.workers = get<int>(json, "workers");
  deploy.requests_per_minute = get<int>(json, "requests_per_minute");
  deploy.answer_tokens_max = get<int>(json, "answer_tokens_max");
  deploy.capture = CaptureRules::from_json(json.at("capture"), "deploy").value();
  deploy.slots = get<int>(json, "slots");
  deploy.context = get<int>(json, "context");
  deploy.weights = get<std::string>(json, "weights");
  read_service(json, deploy);
  return deploy;
}

}  // namespace

// The statements of what says no more than yes or no stay as they were before it could say more.
Json CaptureRules::to_json() const {
  const bool is_plain = retention_days == CaptureRules().retention_days;
  if (is_plain && (share == 0 || share == 1)) return share == 1;
  return {{"share", share}, {"retention_days", retention_days}};
}

Result<CaptureRules> CaptureRules::from_json(const Json& value, const std::string& where) {
  CaptureRules rules;
  if (value.is_boolean()) {
    rules.share = value.get<bool>() ? 1 : 0;
    return rules;
  }
  if (!value.is_object()) return fail(ErrorCode::invalid_argument, "'capture' is neither a boolean nor an object", where);
  if (value.contains("share")) rules.share = TRY(json_number(value, "share", where + ".capture"));
  if (!(rules.share >= 0 && rules.share <= 1)) return fail(ErrorCode::invalid_argument, "'share' goes from 0 to 1", where + ".capture");
  const auto days = value.contains("retention_days") ? TRY(json_integer(value, "retention_days", where + ".capture")) : std::int64_t{rules.retention_days};
  if (days < 1 || days > 3650) return fail(ErrorCode::invalid_argument, "'retention_days' goes from 1 to 3650", where + ".capture");
  rules.retention_days = static_cast<int>(days);
  return rules;
}

Json DeployOptions::to_json() const {
  Json json = {{"environment", environment}, {"host", host}, {"port", port}, {"names", names}, {"workers", workers},
               {"requests_per_minute", requests_per_minute}, {"answer_tokens_max", answer_tokens_max}, {"capture", capture.to_json()}};
  json.update(engine());
  const DeployOptions defaults;
  if (!access.empty()) json["access"] = access;
  if (!scale.empty()) json["scale"] = scale;
  if (!rollout.empty()) json["rollout"] = rollout;
  if (hang_s != defaults.hang_s) json["hang_s"] = hang_s;
  if (drain_s != defaults.drain_s) json["drain_s"] = drain_s;
  if (!guards.empty()) json["guards"] = guards;
  if (!telemetry.empty()) json["telemetry"] = telemetry;
  return json;
}

Json DeployOptions::engine() const { return {{"slots", slots}, {"context", context}, {"weights", weights}}; }

Result<DeployOptions> DeployOptions::from_json(const Json& value) {
  DeployOptions deploy;
  deploy.environment = TRY(json_string(value, "environment", "endpoint"));
  deploy.host = TRY(json_string(value, "host", "endpoint"));
  deploy.port = static_cast<int>(TRY(json_integer(value, "port", "endpoint")));
  for (const auto& name : TRY(json_array(value, "names", "endpoint"))) deploy.names.push_back(name.get<std::string>());
  deploy.workers = static_cast<int>(TRY(json_integer(value, "workers", "endpoint")));
  deploy.requests_per_minute = static_cast<int>(TRY(json_integer(value, "requests_per_minute", "endpoint")));
  deploy.answer_tokens_max = static_cast<int>(TRY(json_integer(value, "answer_tokens_max", "endpoint")));
  deploy.capture = TRY(CaptureRules::from_json(json_or(value, "capture", Json()), "endpoint"));
  // Versions that were registered before there were these have the engine's own defaults.
  deploy.slots = static_cast<int>(json_or(value, "slots", std::int64_t{deploy.slots}));
  deploy.context = static_cast<int>(json_or(value, "context", std::int64_t{deploy.context}));
  deploy.weights = json_or(value, "weights", deploy.weights.c_str());
  read_service(value, deploy);
  return deploy;
}

Json WatchOptions::to_json() const {
  return {{"webhook", webhook}, {"webhook_ca_file", webhook_ca_file}, {"webhook_secret", webhook_secret}, {"interval_s", interval_s}, {"rescan_hours", rescan_hours}, {"failures_max", failures_max},
          {"error_rate_per_minute_max", error_rate_per_minute_max}, {"latency_p99_ms_max", latency_p99_ms_max},
          {"critical_vulnerabilities_max", critical_vulnerabilities_max}, {"unauthorized_attempts_max", unauthorized_attempts_max}};
}

Result<WatchOptions> WatchOptions::from_json(const Json& value) {
  WatchOptions watch;
  watch.webhook = TRY(json_string(value, "webhook", "watch"));
  watch.webhook_ca_file = TRY(json_string(value, "webhook_ca_file", "watch"));
  watch.webhook_secret = TRY(json_string(value, "webhook_secret", "watch"));
  watch.interval_s = static_cast<int>(TRY(json_integer(value, "interval_s", "watch")));
  watch.rescan_hours = TRY(json_number(value, "rescan_hours", "watch"));
  watch.failures_max = static_cast<int>(TRY(json_integer(value, "failures_max", "watch")));
  watch.error_rate_per_minute_max = TRY(json_number(value, "error_rate_per_minute_max", "watch"));
  watch.latency_p99_ms_max = TRY(json_number(value, "latency_p99_ms_max", "watch"));
  watch.critical_vulnerabilities_max = static_cast<int>(TRY(json_integer(value, "critical_vulnerabilities_max", "watch")));
  watch.unauthorized_attempts_max = static_cast<int>(TRY(json_integer(value, "unauthorized_attempts_max", "watch")));
  return watch;
}

Result<Json> load_training_config(const fs::path& file) { return load_checked(file, kTrainingConfigSchema); }

Result<attest::SignerPolicy> load_signers(const fs::path& file) {
  const Json checked = TRY(load_checked(file, kSignersSchema));
  return attest::SignerPolicy::from_json(checked, file.parent_path());
}

Result<stages::evaluate::Thresholds> load_thresholds(const fs::path& file) {
  return stages::evaluate::Thresholds::from_json(TRY(load_checked(file, kThresholdsSchema)));
}

Result<Json> load_policy(const fs::path& file) { return load_checked(file, kPolicySchema); }

Result<Config> load_config(const fs::path& file) {
  const auto document = TRY(load_yaml(file));
  const Json json = TRY(check_config(document, kRedoubtSchema));
  Config config;
  config.file = file;
  config.name = get<std::string>(json, "name");
  config.description = get<std::string>(json, "description");
  config.model = TRY(read_model(json.at("model"), file));
  config.data = TRY(read_data(document, json.at("data"), file));
  config.image = TRY(read_image(document, json.at("image"), file));
  config.training = TRY(named_file("train.config", file, get<std::string>(json.at("train"), "config"), load_training_config));
  config.thresholds = TRY(named_file("evaluate.thresholds", file, get<std::string>(json.at("evaluate"), "thresholds"), load_thresholds));
  config.generations = get<int>(json.at("evaluate"), "generations");
  config.bump = get<std::string>(json.at("register"), "bump");
  config.intended_use = get<std::string>(json.at("register"), "intended_use");
  config.limitations = get<std::string>(json.at("register"), "limitations");
  config.deploy = TRY(read_deploy(document, json.at("deploy")));
  TRY(settle_files(config.deploy, file));
  TRY(check_deploy(document, config.deploy));
  config.watch = TRY(WatchOptions::from_json(json.at("watch")));
  TRY(check_webhook(document, config.watch.webhook));
  if (auto& authorities = config.watch.webhook_ca_file; !authorities.empty()) {
    Json named = {{"webhook_ca_file", authorities}};
    TRY(settle_file(named, "webhook_ca_file", "watch", file));
    authorities = get<std::string>(named, "webhook_ca_file");
  }
  config.policy = TRY(named_file("policy", file, get<std::string>(json, "policy"), read_policy));
  if (json.contains("providers")) config.providers = TRY(providers_of(document));
  return config;
}

}  // namespace redoubt::pipeline
