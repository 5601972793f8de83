// SPDX-License-Identifier: Apache-2.0
//
// The steps of a release as types. A Recorded<Step> exists only after its signed statement is durable in the ledger, and each
// stage asks for the steps it stands on by type: deploying what passed no gate and no review does not compile.
#pragma once

#include <string>
#include <utility>

#include "attest/step_statement.h"

namespace redoubt::governance {

struct AcquireStep { static constexpr const char* kName = "acquire"; };
struct DataStep { static constexpr const char* kName = "data"; };
struct ImageStep { static constexpr const char* kName = "image"; };
struct TrainStep { static constexpr const char* kName = "train"; };
struct EvaluateStep { static constexpr const char* kName = "evaluate"; };
struct RegisterStep { static constexpr const char* kName = "register"; };
struct ReviewStep { static constexpr const char* kName = "review"; };
struct DeployStep { static constexpr const char* kName = "deploy"; };

// An event, not a step: how a deployment that is tried beside another goes on (stages/deploy/deployment.h).
inline constexpr const char* kRolloutEvent = "rollout";

template <class Step>
class Recorded {
 public:
  const attest::StepRecord& record() const { return record_; }
  // How later statements name this one.
  const Digest& statement() const { return statement_; }
  // Whether an earlier run had done it already.
  bool reused() const { return reused_; }
  // An output of the step, by name; a name that the step does not have is our own bug, caught as `internal`.
  Result<Digest> output(const std::string& name) const {
    const auto found = record_.outputs.find(name);
    if (found == record_.outputs.end()) return fail(ErrorCode::internal, "step " + record_.step + " has no output " + name);
    return found->second;
  }

 private:
  friend class StepRecorder;
  Recorded(attest::StepRecord record, Digest statement, bool reused)
      : record_(std::move(record)), statement_(statement), reused_(reused) {}
  attest::StepRecord record_;
  Digest statement_;
  bool reused_;
};

using AcquiredModel = Recorded<AcquireStep>;     // outputs: model
using PreparedData = Recorded<DataStep>;         // outputs: train (train.jsonl, validation.jsonl), eval (eval.jsonl), report
using BuiltImage = Recorded<ImageStep>;          // outputs: image (OCI manifest), sbom
using TrainedModel = Recorded<TrainStep>;      // outputs: adapter (a PEFT folder) or model (a whole one), metrics
using Evaluation = Recorded<EvaluateStep>;       // outputs: evaluation; result: the gate's verdict and the metrics
using RegisteredVersion = Recorded<RegisterStep>;  // outputs: release, card, signature; result: name, version, state
using ApprovedVersion = Recorded<ReviewStep>;      // result: decision "approve"
using Deployment = Recorded<DeployStep>;

}  // namespace redoubt::governance
