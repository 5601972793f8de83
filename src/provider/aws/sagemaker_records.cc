// SPDX-License-Identifier: Apache-2.0
#include "provider/aws/sagemaker_records.h"

#include <fmt/format.h>

#include "crypto/hash.h"
#include "provider/aws/about.h"
#include "provider/aws/job_ending.h"
#include "provider/aws/package_metadata.h"

namespace redoubt::provider::aws {
namespace {

constexpr const char* kRecordsCure = "allow the actions on model cards and lineage (config/cloudformation_template.yaml) to the role that runs this, then run this again";
constexpr std::size_t kTextMax = 1024, kLongTextMax = 2048, kContentMax = 100'000;

std::string shown(const Json& value) { return value.is_string() ? value.get<std::string>() : dump_json(value); }

void put_text(Json& object, const char* key, const std::string& text, std::size_t bytes_max = kTextMax) {
  if (!text.empty()) object[key] = cut_text(text, bytes_max);
}

Json metric_group(const char* name, const Json& metrics) {
  Json data = Json::array();
  for (const auto& [key, value] : metrics.items()) {
    if (value.is_number()) data.push_back({{"name", key}, {"type", "number"}, {"value", value}});
  }
  return {{"name", name}, {"metric_data", data}};
}

Json evaluation(const Json& card) {
  const Json gate = json_or(card, "gate", Json::object());
  Json made = {{"name", "held-out rows"},
               {"metric_groups", Json::array({metric_group("tuned model", json_or(card, "metrics", Json::object())),
                                              metric_group("base model", json_or(card, "base_metrics", Json::object()))})}};
  put_text(made, "evaluation_observation", "gate: " + json_or(gate, "gate", "unknown"));
  return Json::array({made});
}

Json training(const Json& card) {
  Json parameters = Json::array();
  const Json given = json_or(card, "training", Json::object());
  for (const auto& [key, value] : given.items()) {
    if (parameters.size() < 50) parameters.push_back({{"name", key}, {"value", cut_text(shown(value), 256)}});
  }
  Json made = {{"training_job_details", {{"user_provided_hyper_parameters", parameters}}}};
  put_text(made, "training_observations", (std::string(json_or(given, "method", "lora")) == "full" ? "Every weight tuned of " : "LoRA adapter of ") + json_or(card, "base_model", "the base model") + " at " + json_or(card, "base_revision", "no revision"));
  return made;
}

Json details(const Json& card) {
  Json made = Json::object();
  for (const char* key : {"license", "version", "state", "reason", "created", "created_by"}) put_text(made, key, json_or(card, key, ""));
  for (const char* key : {"lineage", "data", "image"}) {
    const Json group = json_or(card, key, Json::object());
    for (const auto& [name, value] : group.items()) put_text(made, fmt::format("{}.{}", key, name).c_str(), shown(value));
  }
  return made;
}

const char* card_status(const std::string& state) {
  if (state == "Approved" || state == "Deployed") return "Approved";
  if (state == "Rejected" || state == "Revoked") return "Archived";
  return "PendingReview";
}

// Different versions have different names, whatever letters are in them.
std::string record_name(const std::string& workspace, const std::string& name, const std::string& version, const char* what) {
  return fmt::format("redoubt-{}-{}", what, crypto::sha256(workspace + "/" + name + "/" + version).hex().substr(0, 24));
}

Json tags_of(const std::string& workspace) { return Json::array({{{"Key", "redoubt:workspace"}, {"Value", workspace}}}); }

Result<std::string> ensure_artifact(Client& client, const std::string& workspace, const std::string& type, const std::string& digest) {
  const std::string uri = fmt::format("redoubt://{}/{}", workspace, digest);
  const Json there = TRY(about(uri, client.call_all("sagemaker", "ListArtifacts", {{"SourceUri", uri}, {"ArtifactType", type}}, "ArtifactSummaries"), kRecordsCure));
  for (const Json& summary : there) {
    if (const std::string arn = json_or(summary, "ArtifactArn", ""); !arn.empty()) return arn;
  }
  const Json source = {{"SourceUri", uri}, {"SourceTypes", Json::array({{{"SourceIdType", "Custom"}, {"Value", digest}}})}};
  const Json request = {{"ArtifactName", record_name(workspace, type, digest, "artifact")}, {"ArtifactType", type},
                        {"Source", source}, {"Properties", {{"digest", digest}}}, {"Tags", tags_of(workspace)}};
  const Json made = TRY(about(uri, client.call("sagemaker", "CreateArtifact", request), kRecordsCure));
  return json_string(made, "ArtifactArn", "CreateArtifact");
}

Result<std::string> ensure_action(Client& client, const Lineage& lineage) {
  const std::string name = record_name(lineage.workspace, lineage.name, lineage.version, "register");
  const auto there = client.call("sagemaker", "DescribeAction", {{"ActionName", name}});
  if (there) return json_string(*there, "ActionArn", name);
  if (!is_missing(there.error())) return fail_about(name, there.error(), kRecordsCure);
  const Json source = {{"SourceUri", fmt::format("redoubt://{}/{}", lineage.workspace, lineage.statement)}, {"SourceType", "statement"}, {"SourceId", cut_text(lineage.statement, 256)}};
  const Json request = {{"ActionName", name}, {"ActionType", "ModelRegistration"}, {"Status", "Completed"}, {"Source", source},
                        {"Properties", {{"name", lineage.name}, {"version", lineage.version}, {"release", lineage.release}}}, {"Tags", tags_of(lineage.workspace)}};
  const Json made = TRY(about(name, client.call("sagemaker", "CreateAction", request), kRecordsCure));
  return json_string(made, "ActionArn", name);
}

Status associate(Client& client, const std::string& from, const std::string& to, const char* how) {
  const Json there = TRY(about(from, client.call_all("sagemaker", "ListAssociations", {{"SourceArn", from}, {"DestinationArn", to}}, "AssociationSummaries"), kRecordsCure));
  if (!there.empty()) return {};
  const auto added = client.call("sagemaker", "AddAssociation", {{"SourceArn", from}, {"DestinationArn", to}, {"AssociationType", how}});
  if (added || added.error().code == ErrorCode::already_exists || added.error().message.find("already exists") != std::string::npos) return {};
  return fail_about(from, added.error(), kRecordsCure);
}

}  // namespace

Json model_card_content(const Json& card) {
  Json overview = Json::object(), uses = Json::object(), more = Json::object();
  put_text(overview, "model_name", json_or(card, "name", ""), 256);
  put_text(overview, "model_description", json_or(card, "description", ""));
  put_text(overview, "model_creator", json_or(card, "created_by", ""));
  put_text(overview, "model_owner", json_or(card, "created_by", ""));
  overview["algorithm_type"] = "LoRA";
  overview["problem_type"] = "Text generation";
  put_text(uses, "intended_uses", json_or(card, "intended_use", ""), kLongTextMax);
  uses["risk_rating"] = "Unknown";
  put_text(more, "caveats_and_recommendations", json_or(card, "limitations", ""), kLongTextMax);
  more["custom_details"] = details(card);
  return {{"model_overview", overview}, {"intended_uses", uses}, {"training_details", training(card)},
          {"evaluation_details", evaluation(card)}, {"additional_information", more}};
}

Result<std::string> publish_model_card(Client& client, const Json& card, const CardOptions& options) {
  const std::string name = record_name(options.workspace, json_or(card, "name", ""), json_or(card, "version", ""), "card");
  const std::string content = dump_json(model_card_content(card)), status = card_status(json_or(card, "state", ""));
  if (content.size() > kContentMax) return fail(ErrorCode::limit_exceeded, "the model card is longer than SageMaker takes", name);
  const auto there = client.call("sagemaker", "DescribeModelCard", {{"ModelCardName", name}});
  if (there) {
    if (json_or(*there, "Content", "") != content || json_or(*there, "ModelCardStatus", "") != status) {
      TRY(about(name, client.call("sagemaker", "UpdateModelCard", {{"ModelCardName", name}, {"Content", content}, {"ModelCardStatus", status}}), kRecordsCure));
    }
    return json_string(*there, "ModelCardArn", name);
  }
  if (!is_missing(there.error())) return fail_about(name, there.error(), kRecordsCure);
  Json request = {{"ModelCardName", name}, {"Content", content}, {"ModelCardStatus", status}, {"Tags", tags_of(options.workspace)}};
  if (!options.kms_key.empty()) request["SecurityConfig"] = {{"KmsKeyId", options.kms_key}};
  return json_string(TRY(about(name, client.call("sagemaker", "CreateModelCard", request), kRecordsCure)), "ModelCardArn", name);
}

Status record_lineage(Client& client, const Lineage& lineage) {
  const std::string action = TRY(ensure_action(client, lineage));
  for (const auto& [role, digest] : lineage.inputs) {
    TRY(associate(client, TRY(ensure_artifact(client, lineage.workspace, role, digest)), action, "ContributedTo"));
  }
  return associate(client, action, TRY(ensure_artifact(client, lineage.workspace, "release", lineage.release)), "Produced");
}

}  // namespace redoubt::provider::aws
