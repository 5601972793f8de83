// SPDX-License-Identifier: Apache-2.0
#include "stages/publish/review.h"

#include <fmt/format.h>

namespace redoubt::stages::publish {
namespace {

using provider::VersionState;

Status check_state(const provider::ModelVersion& version, Decision decision) {
  const VersionState state = version.state;
  const std::string where = version.name + "/" + version.version;
  const bool fits = decision == Decision::approve  ? state == VersionState::pending_manual_approval || state == VersionState::approved
                    : decision == Decision::reject ? state == VersionState::pending_manual_approval
                                                   : state == VersionState::approved || state == VersionState::deployed;
  if (fits) return {};
  if (decision == Decision::approve && state == VersionState::rejected) {
    return fail(ErrorCode::gate_refused, "the version is Rejected: " + version.reason, where, "train a better one; a gate has no way past it");
  }
  return fail(ErrorCode::gate_refused, fmt::format("the version is {}; it can't be {}ed", provider::to_string(state), to_string(decision)), where);
}

}  // namespace

const char* to_string(Decision decision) {
  switch (decision) {
    case Decision::approve: return "approve";
    case Decision::reject: return "reject";
    case Decision::revoke: return "revoke";
  }
  return "reject";
}

Result<governance::ApprovedVersion> review(const ReviewOptions& options, ReviewDeps& deps) {
  const auto version = TRY(deps.registry.get(options.name, options.version));
  if (options.reason.empty() || options.reason.size() > 2000) {
    return fail(ErrorCode::invalid_argument, "a review needs a reason of 1 to 2000 characters", "--reason");
  }
  const Digest registered = TRY(Digest::parse(version.statement));
  const auto ran = TRY(deps.recorder.who_ran(registered));
  if (ran.contains(deps.recorder.identity()) && options.decision != Decision::revoke) {
    return fail(ErrorCode::permission_denied, fmt::format("'{}' ran the pipeline and can't review its result", deps.recorder.identity()),
                options.name + "/" + options.version, "have another identity with the reviewer role decide: redoubt --as reviewer registry approve ...");
  }
  TRY(check_state(version, options.decision));
  governance::StepPlan plan;
  plan.inputs = {{"statement:register", registered}};
  plan.parameters = {{"decision", to_string(options.decision)}, {"reason", options.reason}, {"reviewer", deps.recorder.identity()}};
  if (!options.outside.is_null()) plan.parameters["outside"] = options.outside;
  return deps.recorder.run<governance::ReviewStep>(plan, [&]() -> Result<governance::StepProduct> {
    return governance::StepProduct{{}, {{"name", options.name}, {"version", options.version}, {"decision", to_string(options.decision)}, {"reason", options.reason}}};
  });
}

}  // namespace redoubt::stages::publish
