// SPDX-License-Identifier: Apache-2.0
//
// Step 5: a new version in the registry, with metrics, lineage to every input, a model card and an OpenSSF model signature
// over its files. A model that failed the gate is registered too, as Rejected with the reasons.
#pragma once

#include "crypto/sign.h"
#include "governance/recorder.h"
#include "provider/model_registry.h"
#include "vault/artifact_store.h"

namespace redoubt::stages::publish {

struct RegisterOptions {
  std::string name, description, license;
  std::string bump = "minor";
  std::string intended_use, limitations;
  // How the version is to be admitted, served and watched ("policy", "endpoint", "watch", "scan"): part of what is reviewed.
  Json settings = Json::object();
  std::map<std::string, Digest> documents = {};  // blobs that the settings name; outputs too, so that they are kept
};

struct RegisterDeps {
  vault::ArtifactStore& store;
  provider::ModelRegistry& registry;
  governance::StepRecorder& recorder;
  const crypto::SigningKey& model_key;  // ECDSA P-256: the format's tools take no Ed25519
  const Clock& clock;
};

// Everything that a version stands on; its statements are named in the register statement.
struct ReleaseChain {
  const governance::AcquiredModel& model;
  const governance::PreparedData& data;
  const governance::BuiltImage& image;
  const governance::TrainedModel& trained;
  const governance::Evaluation& evaluation;
};

// Outputs: release (manifest of base/... and, where an adapter was trained, adapter/...), card (card.md, card.json), signature (model.sig, model.pub).
// Result: name, version, state, metrics, reason. Undecided evaluations are not registered: ErrorCode::undecided.
Result<governance::RegisteredVersion> register_version(const ReleaseChain& chain, const RegisterOptions& options, RegisterDeps& deps);

}  // namespace redoubt::stages::publish
