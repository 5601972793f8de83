// SPDX-License-Identifier: Apache-2.0
#include "stages/deploy/admission.h"

#include <fmt/ranges.h>

#include "stages/deploy/deployment.h"

namespace redoubt::stages::deploy {
namespace {

using namespace governance;

// The statement that `register` names for a step.
template <class Step>
Result<Recorded<Step>> input_of(const RegisteredVersion& registered, StepRecorder& recorder) {
  const std::string key = std::string("statement:") + Step::kName;
  const auto found = registered.record().inputs.find(key);
  if (found == registered.record().inputs.end()) {
    return fail(ErrorCode::tampered, "the register statement names no " + key, registered.statement().tagged());
  }
  return recorder.load<Step>(found->second);
}

Status same(const Digest& expected, const Digest& actual, const std::string& what) {
  if (expected == actual) return {};
  return fail(ErrorCode::tampered, "the chain of statements is broken: " + what, expected.tagged());
}

}  // namespace

Status Admission::read_chain(const provider::ModelVersion& version, AdmissionFacts& facts, AdmittedRelease& release) {
  const auto registered = TRY(deps_.recorder.load<RegisterStep>(TRY(Digest::parse(version.statement))));
  const auto model = TRY(input_of<AcquireStep>(registered, deps_.recorder));
  const auto data = TRY(input_of<DataStep>(registered, deps_.recorder));
  const auto image = TRY(input_of<ImageStep>(registered, deps_.recorder));
  const auto trained = TRY(input_of<TrainStep>(registered, deps_.recorder));
  const auto evaluation = TRY(input_of<EvaluateStep>(registered, deps_.recorder));
  const auto input = [](const auto& step, const char* name) -> Result<Digest> {
    const auto found = step.record().inputs.find(name);
    if (found == step.record().inputs.end()) return fail(ErrorCode::tampered, "a statement lacks its input " + std::string(name));
    return found->second;
  };
  TRY(same(TRY(model.output("model")), TRY(input(trained, "model")), "the release was trained on another model"));
  TRY(same(TRY(data.output("train")), TRY(input(trained, "data")), "the release was trained on other data"));
  TRY(same(TRY(image.output("image")), TRY(input(trained, "image")), "the release was trained by another image"));
  TRY(same(TRY(model.output("model")), TRY(input(evaluation, "model")), "another model was evaluated"));
  TRY(same(TRY(data.output("eval")), TRY(input(evaluation, "data")), "the evaluation used other data"));
  const auto weights = attest::trained_weights(trained.record());
  TRY(same(TRY(trained.output(weights.output)), TRY(input(evaluation, weights.input)), std::string("another ") + weights.output + " was evaluated"));
  TRY(same(TRY(Digest::parse(version.digest)), TRY(registered.output("release")), "the registry names another release"));
  facts.run_by = TRY(deps_.recorder.who_ran(registered.statement()));
  facts.license = json_or(registered.record().parameters, "license", "unknown");
  facts.gate = json_or(evaluation.record().result, "gate", "fail");
  facts.evaluated = evaluation.record().finished;
  release.release_ = TRY(registered.output("release"));
  release.image_ = TRY(image.output("image"));
  release.training_data_ = TRY(data.output("train"));
  return {};
}

Status Admission::read_reviews(const provider::ModelVersion& version, AdmissionFacts& facts, AdmittedRelease& release) {
  for (const auto& entry : TRY(deps_.evidence.of_step(ReviewStep::kName))) {
    const auto record = TRY(attest::to_step_record(entry.statement));
    const auto names = record.inputs.find("statement:register");
    if (names == record.inputs.end() || names->second.tagged() != version.statement) continue;
    if (json_or(record.result, "decision", "") != "approve" || !deps_.may_review(record.identity)) continue;
    facts.approved_by.insert(record.identity);
    release.review_statement_ = entry.digest;
  }
  return {};
}

Result<AdmittedRelease> Admission::admit(const std::string& name, const std::string& version_text, const std::string& environment,
                                         const Policy& policy) {
  const auto version = TRY(deps_.registry.get(name, version_text));
  const std::string where = name + "/" + version_text;
  if (version.state == provider::VersionState::pending_manual_approval) {
    return fail(ErrorCode::waiting, "the version waits for a person's approval", where,
                fmt::format("have a reviewer decide: redoubt --as reviewer registry approve {} --reason \"...\"", where));
  }
  AdmittedRelease release;
  AdmissionFacts facts;
  facts.state = provider::to_string(version.state);
  facts.environment = environment;
  TRY(read_chain(version, facts, release));
  TRY(read_reviews(version, facts, release));
  const ScanFacts scan = TRY(deps_.scan(release.image_));
  facts.scanned = scan.scanned;
  facts.vulnerabilities = scan.vulnerabilities;
  facts.exploited = scan.exploited;
  facts.epss_max = scan.epss_max;
  if (!policy.promotion.empty()) facts.stood_in = TRY(environments_of(deps_.evidence, release.release_, release.image_));
  if (!policy.image_signers.empty() && deps_.image_signers) facts.image_signed_by = TRY(deps_.image_signers(release.image_, policy));
  TRY(deps_.store.verify(release.release_));
  const auto refusals = admission_refusals(policy, facts, deps_.clock.now());
  if (!refusals.empty()) {
    return fail(ErrorCode::gate_refused, fmt::format("admission refused: {}", fmt::join(refusals, "; ")), where);
  }
  release.name_ = name;
  release.version_ = version_text;
  release.environment_ = environment;
  release.evidence_ = {{"scan", {{"scanned", to_rfc3339(scan.scanned)}, {"vulnerabilities", scan.vulnerabilities}, {"exploited", scan.exploited}, {"accepted", scan.accepted}, {"vex", scan.vex}}},
                       {"image_signed_by", facts.image_signed_by}};
  if (policy.signatures_from) release.evidence_["image_signatures_from"] = policy.signatures_from->repository;
  return release;
}

}  // namespace redoubt::stages::deploy
