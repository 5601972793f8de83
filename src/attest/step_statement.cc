// SPDX-License-Identifier: Apache-2.0
#include "attest/step_statement.h"

#include <fmt/format.h>

#include <algorithm>

#include "attest/slsa.h"

namespace redoubt::attest {
namespace {

constexpr std::string_view kIdentityPrefix = "urn:redoubt:identity:";
constexpr const char* kResultExtension = "redoubt_result";  // SLSA: extensions are named <vendor>_<field>

bool is_built(std::string_view step) { return step == "image" || step == "train"; }

std::string build_type_of(std::string_view step) { return fmt::format("urn:redoubt:build:{}:v1", step); }

bool is_step_name(std::string_view step) {
  return !step.empty() && step.size() <= 64 && step[0] >= 'a' && step[0] <= 'z' &&
         step.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == step.npos;
}

Json tagged(const std::map<std::string, Digest>& digests) {
  Json object = Json::object();
  for (const auto& [name, digest] : digests) object[name] = digest.tagged();
  return object;
}

Result<std::map<std::string, Digest>> parse_tagged(const Json& object, std::string_view where) {
  std::map<std::string, Digest> digests;
  for (const auto& [name, value] : object.items()) {
    const auto digest = value.is_string() ? Digest::parse(value.get_ref<const std::string&>()) : fail(Error{});
    if (!digest || digest->tagged() != value.get_ref<const std::string&>()) {
      return fail(ErrorCode::invalid_argument, fmt::format("'{}' is not a digest of the form sha256:...", name),
                  std::string(where));
    }
    digests.emplace(name, *digest);
  }
  return digests;
}

std::vector<Subject> subjects_of(const StepRecord& record) {
  const auto& about = record.outputs.empty() ? record.inputs : record.outputs;
  std::vector<Subject> subjects;
  for (const auto& [name, digest] : about) subjects.push_back({name, digest});
  if (subjects.empty()) subjects.push_back({record.step, record.input_key});
  return subjects;
}

Json built_predicate(const StepRecord& record) {
  Json predicate = to_predicate({.build_type = build_type_of(record.step),
                                 .external_parameters = record.parameters,
                                 .internal_parameters = {{"inputKey", record.input_key.hex()}},
                                 .dependencies = record.inputs,
                                 .builder_id = std::string(kIdentityPrefix) + record.identity,
                                 .invocation_id = record.input_key.hex(),
                                 .started = record.started,
                                 .finished = record.finished});
  predicate[kResultExtension] = record.result;
  return predicate;
}

Json plain_predicate(const StepRecord& record) {
  return {{"step", record.step},
          {"inputKey", record.input_key.hex()},
          {"inputs", tagged(record.inputs)},
          {"outputs", tagged(record.outputs)},
          {"parameters", record.parameters},
          {"identity", record.identity},
          {"started", to_rfc3339(record.started)},
          {"finished", to_rfc3339(record.finished)},
          {"result", record.result}};
}

Result<StepRecord> parse_built(const Statement& statement) {
  const char* where = "SLSA provenance";
  auto provenance = TRY(parse_provenance(statement.predicate, where));
  StepRecord record;
  for (const char* step : {"image", "train"}) {
    if (provenance.build_type == build_type_of(step)) record.step = step;
  }
  if (record.step.empty()) return fail(ErrorCode::invalid_argument, "not a build by Redoubt", where);
  if (!provenance.builder_id.starts_with(kIdentityPrefix)) {
    return fail(ErrorCode::invalid_argument, "the builder is no identity of Redoubt", where);
  }
  record.identity = provenance.builder_id.substr(kIdentityPrefix.size());
  record.input_key = TRY(Digest::parse(TRY(json_string(provenance.internal_parameters, "inputKey", where))));
  record.inputs = std::move(provenance.dependencies);
  for (const auto& subject : statement.subjects) record.outputs.emplace(subject.name, subject.digest);
  record.parameters = std::move(provenance.external_parameters);
  record.started = provenance.started;
  record.finished = provenance.finished;
  record.result = TRY(json_object(statement.predicate, kResultExtension, where));
  return record;
}

Result<StepRecord> parse_plain(const Json& predicate, std::string_view where) {
  StepRecord record;
  record.step = TRY(json_string(predicate, "step", where));
  record.input_key = TRY(Digest::parse(TRY(json_string(predicate, "inputKey", where))));
  record.inputs = TRY(parse_tagged(TRY(json_object(predicate, "inputs", where)), where));
  record.outputs = TRY(parse_tagged(TRY(json_object(predicate, "outputs", where)), where));
  record.parameters = TRY(json_object(predicate, "parameters", where));
  record.identity = TRY(json_string(predicate, "identity", where));
  record.started = TRY(parse_rfc3339(TRY(json_string(predicate, "started", where))));
  record.finished = TRY(parse_rfc3339(TRY(json_string(predicate, "finished", where))));
  record.result = TRY(json_object(predicate, "result", where));
  return record;
}

}  // namespace

std::string step_predicate_type(std::string_view step) {
  return is_built(step) ? kSlsaProvenanceType : predicate_type_of(step);
}

Result<Statement> to_statement(const StepRecord& record) {
  const auto refuse = [&](const char* why) {
    return fail(ErrorCode::invalid_argument, why, "the record of step '" + record.step + "'");
  };
  if (!is_step_name(record.step)) return refuse("a step's name is not of the form [a-z][a-z0-9-]*");
  if (record.identity.empty()) return refuse("a step without an identity");
  if (record.inputs.contains("") || record.outputs.contains("")) return refuse("an input or output without a name");
  if (!record.parameters.is_object() || !record.result.is_object()) return refuse("parameters or result is no JSON object");
  if (is_built(record.step) && record.outputs.empty()) return refuse("a build that has no outputs");
  return Statement{.subjects = subjects_of(record),
                   .predicate_type = step_predicate_type(record.step),
                   .predicate = is_built(record.step) ? built_predicate(record) : plain_predicate(record)};
}

Result<StepRecord> to_step_record(const Statement& statement) {
  auto record = statement.predicate_type == kSlsaProvenanceType
                    ? TRY(parse_built(statement))
                    : TRY(parse_plain(statement.predicate, statement.predicate_type));
  // Only what to_statement writes is a step's statement: nothing hides in an unknown member or a subject of its own.
  const auto expected = TRY(to_statement(record));
  if (to_text(expected) != to_text(statement)) {
    return fail(ErrorCode::invalid_argument, "not a step's statement: it has other members or subjects than its fields give",
                statement.predicate_type);
  }
  return record;
}

TrainedWeights trained_weights(const StepRecord& train) {
  return train.outputs.contains("model") ? TrainedWeights{"model", "trained_model"} : TrainedWeights();
}

}  // namespace redoubt::attest
