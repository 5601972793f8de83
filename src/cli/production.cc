// SPDX-License-Identifier: Apache-2.0
#include "cli/production.h"

namespace redoubt::cli {
namespace {

using stages::evaluate::Production;

Result<Digest> statement_input(const attest::StepRecord& record, const char* name) {
  const auto found = record.inputs.find(name);
  if (found == record.inputs.end()) return fail(ErrorCode::internal, std::string("a statement lacks its input '") + name + "'", record.step);
  return found->second;
}

// The model that an evaluation judged.
Result<Production> judged_by(const attest::StepRecord& evaluation) {
  Production one;
  if (const auto whole = evaluation.inputs.find("trained_model"); whole != evaluation.inputs.end()) {
    one.model = whole->second;
    return one;
  }
  one.model = TRY(statement_input(evaluation, "model"));
  one.adapter = TRY(statement_input(evaluation, "adapter"));
  return one;
}

// The one that it compared that model with.
Result<std::optional<Production>> compared_by(const attest::StepRecord& evaluation) {
  if (!evaluation.inputs.contains("production_model")) return std::nullopt;
  Production one;
  one.version = json_or(evaluation.parameters, "production", "");
  one.model = evaluation.inputs.at("production_model");
  if (const auto adapter = evaluation.inputs.find("production_adapter"); adapter != evaluation.inputs.end()) one.adapter = adapter->second;
  return std::optional(std::move(one));
}

}  // namespace

Result<std::optional<Production>> production_of(Session& session, const std::string& name, const Digest& trained) {
  std::optional<provider::ModelVersion> deployed;
  for (auto& version : TRY(TRY(session.registry())->list()))
    if (version.name == name && version.state == provider::VersionState::deployed) deployed = std::move(version);
  if (!deployed) return std::nullopt;
  auto* recorder = TRY(session.recorder());
  const auto registered = TRY(recorder->load<governance::RegisterStep>(TRY(Digest::parse(deployed->statement))));
  const auto evaluation = TRY(recorder->load<governance::EvaluateStep>(TRY(statement_input(registered.record(), "statement:evaluate"))));
  auto judged = TRY(judged_by(evaluation.record()));
  if (judged.adapter.value_or(judged.model) == trained) return compared_by(evaluation.record());
  judged.version = deployed->version;
  return std::optional(std::move(judged));
}

}  // namespace redoubt::cli
