// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sagemaker_registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/clock.h"
#include "crypto/hash.h"
#include "provider/aws/about.h"
#include "provider/aws/answer.h"
#include "provider/aws/job_ending.h"
#include "provider/aws/object_text.h"
#include "provider/aws/package_metadata.h"
#include "provider/aws/sagemaker_records.h"

namespace redoubt::provider::aws {
namespace {

constexpr std::size_t kGroupNameBytesMax = 63;
constexpr std::size_t kReasonBytesMax = 1024;
constexpr int kGroupTriesMax = 3;
constexpr const char* kRegistryCure = "allow the actions on model packages and their groups (config/cloudformation_template.yaml) to the role that runs this, then run this again";

// What SageMaker has for a state: it knows no revoked and no deployed versions.
const char* status_of(VersionState state) {
  switch (state) {
    case VersionState::pending_manual_approval: return "PendingManualApproval";
    case VersionState::approved:
    case VersionState::deployed: return "Approved";
    case VersionState::rejected:
    case VersionState::revoked: return "Rejected";
  }
  return "PendingManualApproval";
}

std::string place_key(const SagemakerRegistryOptions& options) { return "registry/" + options.workspace + "/applied.json"; }

// One line of what may be shown, as an approval's description has to be.
std::string as_line(const std::string& text) {
  std::string line = cut_text(text, kReasonBytesMax);
  std::replace_if(line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return line;
}

std::string principal_of(const Json& package) {
  const Json by = json_or(package, "LastModifiedBy", Json::object());
  const Json identity = json_or(by, "IamIdentity", Json::object());
  for (const auto& [from, key] : {std::pair{&identity, "Arn"}, std::pair{&by, "UserProfileArn"}, std::pair{&by, "UserProfileName"}}) {
    if (std::string found = json_or(*from, key, ""); !found.empty()) return found;
  }
  return "unknown";
}

std::string last_change(const Json& package) {
  const auto time = time_of(package, "LastModifiedTime");
  return time && *time > TimePoint() ? to_rfc3339(*time) : "";
}

Result<SagemakerRegistry::Package> read_package(const Json& description, const Json& properties) {
  SagemakerRegistry::Package package;
  package.arn = json_or(description, "ModelPackageArn", "");
  package.number = json_or(description, "ModelPackageVersion", std::int64_t{0});
  package.status = json_or(description, "ModelApprovalStatus", "");
  package.description = json_or(description, "ApprovalDescription", "");
  package.principal = principal_of(description);
  package.changed = last_change(description);
  ModelVersion& version = package.version;
  version.name = TRY(unpack_text(properties, "redoubt-name"));
  version.version = TRY(unpack_text(properties, "redoubt-version"));
  version.digest = TRY(unpack_text(properties, "redoubt-digest"));
  version.statement = TRY(unpack_text(properties, "redoubt-statement"));
  version.created = TRY(unpack_text(properties, "redoubt-created"));
  version.created_by = TRY(unpack_text(properties, "redoubt-created-by"));
  version.reason = TRY(unpack_text(properties, "redoubt-reason"));
  const std::string index = TRY(unpack_text(properties, "redoubt-ledger-index")), state = TRY(unpack_text(properties, "redoubt-state"));
  const auto parsed = parse_version_state(state);
  const auto [end, error] = std::from_chars(index.data(), index.data() + index.size(), package.ledger_index);
  if (!parsed || error != std::errc() || end != index.data() + index.size()) {
    return fail(ErrorCode::tampered, "the metadata of a model package was changed", package.arn, "rebuild the registry with 'redoubt registry rebuild'");
  }
  version.state = *parsed;
  return package;
}

std::string record_key(const std::string& metrics_key) { return metrics_key.substr(0, metrics_key.rfind('.')) + "-record.json"; }

auto find_package(std::vector<SagemakerRegistry::Package>& packages, std::string_view name, std::string_view version) {
  return std::find_if(packages.begin(), packages.end(), [&](const auto& package) { return package.version.name == name && package.version.version == version; });
}

// The registry's state after one more entry, in memory.
Status apply_one(std::vector<SagemakerRegistry::Package>& packages, const RegistryChange& change) {
  for (const ModelVersion& added : change.added) {
    const auto found = find_package(packages, added.name, added.version);
    if (found == packages.end()) {
      SagemakerRegistry::Package package;
      package.version = added;
      package.ledger_index = change.ledger_index;
      package.is_new = true;
      packages.push_back(std::move(package));
      continue;
    }
    // Told again after it was cut short, or after a rewind.
    if (found->is_new || found->ledger_index != change.ledger_index || found->version.digest != added.digest) {
      return fail(ErrorCode::already_exists, "the version is in the registry", added.name + "/" + added.version);
    }
    found->version = added;
    found->is_changed = true;
  }
  for (const StateChange& state : change.states) {
    const auto found = find_package(packages, state.name, state.version);
    if (found == packages.end()) return fail(ErrorCode::not_found, "no such version in the registry", state.name + "/" + state.version);
    found->version.state = state.state;
    found->version.reason = state.reason;
    found->is_changed = true;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<SagemakerRegistry>> SagemakerRegistry::create(SagemakerRegistryOptions options, Client& client, ObjectStore& objects) {
  if (options.workspace.empty() || !is_object_key(options.workspace)) return fail(ErrorCode::invalid_argument, "the registry's workspace is not named", options.workspace);
  if (!options.objects_uri.starts_with("s3://") || !options.objects_uri.ends_with('/')) {
    return fail(ErrorCode::invalid_argument, "the place of the registry's objects is not one", options.objects_uri, "it looks like s3://BUCKET/PREFIX/");
  }
  if (options.image.empty() != options.model_data_uri.empty()) return fail(ErrorCode::invalid_argument, "a package is deployed from an image and a place of models, not from one of them");
  return std::unique_ptr<SagemakerRegistry>(new SagemakerRegistry(std::move(options), client, objects));
}

// Names are of any kind here and of few kinds in SageMaker, so a hash keeps different ones apart.
std::string SagemakerRegistry::group_of(std::string_view name) const {
  const std::string hash = crypto::sha256(options_.workspace + "/" + std::string(name)).hex().substr(0, 8);
  std::string group = options_.group_prefix;
  for (const char c : name) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    const bool plain = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
    if (plain) group += lower;
    else if (!group.ends_with('-')) group += '-';
  }
  group = group.substr(0, kGroupNameBytesMax - 1 - hash.size());
  while (group.ends_with('-')) group.pop_back();
  return group + "-" + hash;
}

std::string SagemakerRegistry::metrics_key(const ModelVersion& version) const {
  return "registry/" + options_.workspace + "/" + group_of(version.name) + "/" + crypto::sha256(version.version).hex().substr(0, 16) + ".json";
}

// Metadata goes when somebody writes a package's without it; what a package was made of stays, and leads to our copy.
Result<Json> SagemakerRegistry::properties_of(const Json& description) {
  Json properties = json_or(description, "CustomerMetadataProperties", Json::object());
  if (properties.contains("redoubt-workspace")) return properties;
  const Json quality = json_or(json_or(description, "ModelMetrics", Json::object()), "ModelQuality", Json::object());
  const std::string uri = json_or(json_or(quality, "Statistics", Json::object()), "S3Uri", "");
  if (!uri.starts_with(options_.objects_uri + "registry/" + options_.workspace + "/")) return properties;
  const std::string key = record_key(uri.substr(options_.objects_uri.size()));
  const auto record = get_text(objects_, key);
  if (!record && record.error().code == ErrorCode::not_found) return properties;
  if (!record) return fail(record.error());
  return parse_json(*record, key);
}

Result<Json> SagemakerRegistry::read_metrics(const std::string& key, const std::string& digest) {
  const std::string text = TRY(get_text(objects_, key));
  if (crypto::sha256(text).tagged() != digest) {
    return fail(ErrorCode::tampered, "the metrics of a version are not those that were registered", options_.objects_uri + key, "rebuild the registry with 'redoubt registry rebuild'");
  }
  return parse_json(text, key, {.bytes_max = kObjectTextBytesMax});
}

// One that a listing has named: readers may know of it later than the listing does.
Result<Json> SagemakerRegistry::describe_package(const std::string& arn) {
  auto description = client_.call("sagemaker", "DescribeModelPackage", {{"ModelPackageName", arn}});
  if (!description && is_missing(description.error())) {
    return fail(ErrorCode::unavailable, "SageMaker lists the model package and does not describe it: " + description.error().message, arn, "run this again in a minute");
  }
  return about(arn, std::move(description), kRegistryCure);
}

Result<std::vector<SagemakerRegistry::Package>> SagemakerRegistry::packages(const std::string& group) {
  std::vector<Package> found;
  const Json query = {{"ModelPackageGroupName", group}, {"ModelPackageType", "Versioned"}, {"SortBy", "CreationTime"}, {"SortOrder", "Ascending"}, {"MaxResults", 100}};
  for (const Json& summary : TRY(about(group, client_.call_all("sagemaker", "ListModelPackages", query, "ModelPackageSummaryList"), kRegistryCure))) {
    const std::string arn = TRY(json_string(summary, "ModelPackageArn", group));
    const Json description = TRY(describe_package(arn));
    const Json properties = TRY(properties_of(description));
    // A package that somebody else put into the group is none of ours.
    if (json_or(properties, "redoubt-workspace", "") != options_.workspace) continue;
    Package package = TRY(read_package(description, properties));
    package.version.metrics = TRY(read_metrics(metrics_key(package.version), json_or(properties, "redoubt-metrics", "")));
    found.push_back(std::move(package));
  }
  std::sort(found.begin(), found.end(), [](const Package& a, const Package& b) { return a.number < b.number; });
  return found;
}

Result<std::vector<SagemakerRegistry::Package>> SagemakerRegistry::all_packages() {
  std::vector<Package> found;
  Json query = {{"SortBy", "Name"}, {"SortOrder", "Ascending"}, {"MaxResults", 100}};
  std::string contains = options_.group_prefix;
  while (contains.ends_with('-')) contains.pop_back();
  if (!contains.empty()) query["NameContains"] = contains;
  for (const Json& summary : TRY(about(options_.group_prefix + "*", client_.call_all("sagemaker", "ListModelPackageGroups", query, "ModelPackageGroupSummaryList"), kRegistryCure))) {
    const std::string group = json_or(summary, "ModelPackageGroupName", "");
    if (!group.starts_with(options_.group_prefix)) continue;
    for (Package& package : TRY(packages(group))) found.push_back(std::move(package));
  }
  std::stable_sort(found.begin(), found.end(), [](const Package& a, const Package& b) { return a.version.name < b.version.name; });
  return found;
}

Result<SagemakerRegistry::Package> SagemakerRegistry::package(std::string_view name, std::string_view version) {
  auto found = TRY(all_packages());
  const auto package = find_package(found, name, version);
  if (package != found.end()) return *package;
  return fail(ErrorCode::not_found, "no such version in the registry", std::string(name) + "/" + std::string(version), "list the versions with 'redoubt registry list'");
}

Result<std::uint64_t> SagemakerRegistry::entries_applied() {
  const std::string key = place_key(options_);
  const auto text = get_text(objects_, key);
  if (!text && text.error().code == ErrorCode::not_found) return std::uint64_t{0};
  if (!text) return fail(text.error());
  return static_cast<std::uint64_t>(TRY(json_integer(TRY(parse_json(*text, key)), "applied", key)));
}

Status SagemakerRegistry::apply(const std::vector<RegistryChange>& changes) {
  const std::uint64_t seen = TRY(entries_applied());
  std::uint64_t applied = seen;
  bool changes_versions = false;
  for (const auto& change : changes) {
    if (change.ledger_index < seen) continue;
    applied = std::max(applied, change.ledger_index + 1);
    changes_versions = changes_versions || !change.added.empty() || !change.states.empty();
  }
  if (applied == seen) return {};
  if (changes_versions) {
    auto packages = TRY(all_packages());
    for (const auto& change : changes) {
      if (change.ledger_index >= seen) TRY(apply_one(packages, change));
    }
    for (Package& package : packages) {
      if (package.is_new || package.is_changed) TRY(write(package));
    }
  }
  return put_text(objects_, place_key(options_), dump_json({{"applied", applied}}));
}

Json SagemakerRegistry::metadata(const Package& package, const std::string& metrics_digest) const {
  const ModelVersion& version = package.version;
  Json properties = {{"redoubt-workspace", options_.workspace}, {"redoubt-ledger-index", std::to_string(package.ledger_index)},
                     {"redoubt-state", to_string(version.state)}, {"redoubt-metrics", metrics_digest}};
  pack_text(properties, "redoubt-name", version.name);
  pack_text(properties, "redoubt-version", version.version);
  pack_text(properties, "redoubt-digest", version.digest);
  pack_text(properties, "redoubt-statement", version.statement);
  pack_text(properties, "redoubt-created", version.created);
  pack_text(properties, "redoubt-created-by", version.created_by);
  pack_text(properties, "redoubt-reason", version.reason);
  return properties;
}

Status SagemakerRegistry::write(Package& package) {
  const std::string metrics = dump_json(package.version.metrics);
  TRY(put_text(objects_, metrics_key(package.version), metrics));
  const std::string digest = crypto::sha256(metrics).tagged();
  TRY(put_text(objects_, record_key(metrics_key(package.version)), dump_json(metadata(package, digest))));
  return package.is_new ? create_package(package, digest) : update_package(package, digest);
}

Status SagemakerRegistry::ensure_group(const std::string& group, const std::string& name) {
  const Json there = TRY(about(group, client_.call_all("sagemaker", "ListModelPackageGroups", {{"NameContains", group}}, "ModelPackageGroupSummaryList"), kRegistryCure));
  for (const Json& summary : there) {
    if (json_or(summary, "ModelPackageGroupName", "") == group) return {};
  }
  const Json request = {{"ModelPackageGroupName", group}, {"ModelPackageGroupDescription", cut_text("Versions of " + name, 1024)},
                        {"Tags", Json::array({{{"Key", "redoubt:workspace"}, {"Value", options_.workspace}}})}};
  for (int tries = 1;; ++tries) {
    const auto created = client_.call("sagemaker", "CreateModelPackageGroup", request);
    if (created || created.error().code == ErrorCode::already_exists || created.error().message.find("already exists") != std::string::npos) return {};
    // Names are unique, so asking again after an answer that got lost makes no second one.
    if (tries == kGroupTriesMax || created.error().code != ErrorCode::unavailable) return fail_about(group, created.error(), kRegistryCure);
  }
}

Status SagemakerRegistry::create_package(const Package& package, const std::string& metrics_digest) {
  const ModelVersion& version = package.version;
  const std::string group = group_of(version.name);
  TRY(ensure_group(group, version.name));
  Json request = {{"ModelPackageGroupName", group},
                  {"ModelPackageDescription", cut_text(fmt::format("{} {}", version.name, version.version), 1024)},
                  {"ModelApprovalStatus", status_of(version.state)},
                  {"CustomerMetadataProperties", metadata(package, metrics_digest)},
                  // The same ledger entry makes the same package, however often it is told.
                  {"ClientToken", crypto::sha256(fmt::format("{}/{}/{}/{}", options_.workspace, version.name, version.version, package.ledger_index)).hex().substr(0, 36)}};
  const Json statistics = {{"ContentType", "application/json"}, {"ContentDigest", metrics_digest}, {"S3Uri", options_.objects_uri + metrics_key(version)}};
  request["ModelMetrics"]["ModelQuality"]["Statistics"] = statistics;
  if (options_.image.empty()) {
    request["SourceUri"] = options_.objects_uri + metrics_key(version);  // a package has to come from somewhere
  } else {
    const auto at = version.digest.find(':');
    const Json data = {{"S3Uri", options_.model_data_uri + version.digest.substr(at == version.digest.npos ? 0 : at + 1) + "/"}, {"S3DataType", "S3Prefix"}, {"CompressionType", "None"}};
    const Json container = {{"Image", options_.image}, {"ModelDataSource", {{"S3DataSource", data}}}};
    request["InferenceSpecification"] = {{"Containers", Json::array({container})}, {"SupportedContentTypes", {"application/json"}},
                                         {"SupportedResponseMIMETypes", {"application/json", "text/event-stream"}}};
  }
  TRY(about(version.name + "/" + version.version, client_.call("sagemaker", "CreateModelPackage", request), kRegistryCure));
  return {};
}

Status SagemakerRegistry::update_package(const Package& package, const std::string& metrics_digest) {
  const Json properties = metadata(package, metrics_digest);
  Json request = {{"ModelPackageArn", package.arn}, {"ModelApprovalStatus", status_of(package.version.state)}, {"CustomerMetadataProperties", properties}};
  if (const std::string reason = as_line(package.version.reason); !reason.empty()) request["ApprovalDescription"] = reason;
  // Parts that a longer reason before had left.
  const Json description = TRY(describe_package(package.arn));
  const Json before = json_or(description, "CustomerMetadataProperties", Json::object());
  Json gone = Json::array();
  for (const auto& [key, value] : before.items()) {
    if (key.starts_with("redoubt-") && !properties.contains(key)) gone.push_back(key);
  }
  if (!gone.empty()) request["CustomerMetadataPropertiesToRemove"] = gone;
  TRY(about(package.arn, client_.call("sagemaker", "UpdateModelPackage", request), kRegistryCure));
  return {};
}

Result<ModelVersion> SagemakerRegistry::get(std::string_view name, std::string_view version) { return TRY(package(name, version)).version; }

Result<std::vector<ModelVersion>> SagemakerRegistry::list() {
  std::vector<ModelVersion> versions;
  for (Package& package : TRY(all_packages())) versions.push_back(std::move(package.version));
  return versions;
}

Status SagemakerRegistry::rewind() {
  const Status removed = objects_.remove(place_key(options_));
  if (!removed && removed.error().code != ErrorCode::not_found) return removed;
  return {};
}

Result<std::vector<OutsideDecision>> SagemakerRegistry::outside_decisions() {
  std::vector<OutsideDecision> decisions;
  for (const Package& package : TRY(all_packages())) {
    const ModelVersion& version = package.version;
    if (package.status == status_of(version.state)) continue;
    OutsideDecision decision{version.name, version.version, version.digest, version.state, VersionState::pending_manual_approval,
                             package.principal, package.changed, package.description, package.arn};
    decision.outside_state = TRY(parse_version_state(package.status));
    decisions.push_back(std::move(decision));
  }
  return decisions;
}

Status SagemakerRegistry::restore(std::string_view name, std::string_view version) {
  Package found = TRY(package(name, version));
  return write(found);
}

Status SagemakerRegistry::describe(const ModelVersion& version, const Json& card, const std::map<std::string, std::string>& lineage) {
  TRY(publish_model_card(client_, card, {options_.workspace, options_.kms_key}));
  return record_lineage(client_, {options_.workspace, version.name, version.version, version.digest, version.statement, lineage});
}

}  // namespace redoubt::provider::aws
