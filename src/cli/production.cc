// SPDX-License-Identifier: Apache-2.0
#include "cli/production.h"

namespace redoubt::cli {
namespace {

using stages::evaluate::Production;

Result<Digest> input_of(const attest::StepRecord& record, const char* name) {
  const auto found = record.inputs.find(name);
  if (found == record.inputs.end()) return fail(ErrorCode::internal, std::string("a statement lacks its input '") + name + "'", record.step);
  return found->second;
}

}  // namespace

Result<std::optional<Production>> production_of(Session& session, const std::string& name, const Digest& adapter) {
  std::optional<provider::ModelVersion> deployed;
  for (auto& version : TRY(TRY(session.registry())->list()))
    if (version.name == name && version.state == provider::VersionState::deployed) deployed = std::move(version);
  if (!deployed) return std::nullopt;
  auto* recorder = TRY(session.recorder());
  const auto registered = TRY(recorder->load<governance::RegisterStep>(TRY(Digest::parse(deployed->statement))));
  const auto evaluation = TRY(recorder->load<governance::EvaluateStep>(TRY(input_of(registered.record(), "statement:evaluate"))));
  const auto& record = evaluation.record();
  if (TRY(input_of(record, "adapter")) != adapter)
    return std::optional(Production{deployed->version, TRY(input_of(record, "model")), TRY(input_of(record, "adapter"))});
  if (!record.inputs.contains("production_adapter")) return std::nullopt;
  return std::optional(Production{json_or(record.parameters, "production", ""), TRY(input_of(record, "production_model")), TRY(input_of(record, "production_adapter"))});
}

}  // namespace redoubt::cli
