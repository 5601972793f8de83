// SPDX-License-Identifier: Apache-2.0
//
// Step 7, first half: admission. The chain of statements of one version is read back from the ledger, every signature and
// digest checked, and the policy decides. Only admission makes an AdmittedRelease, and only that can be served.
#pragma once

#include "governance/policy.h"
#include "governance/recorder.h"
#include "provider/model_registry.h"
#include "vault/artifact_store.h"

namespace redoubt::stages::deploy {

// A release that may be served: the files under base/ and adapter/, and the image that runs them.
class AdmittedRelease {
 public:
  const std::string& name() const { return name_; }
  const std::string& version() const { return version_; }
  const std::string& environment() const { return environment_; }
  const Digest& release() const { return release_; }
  const Digest& image() const { return image_; }
  const Digest& training_data() const { return training_data_; }  // the drift monitor's baseline
  const Digest& review_statement() const { return review_statement_; }
  // What the image was admitted with: {"scan": {scanned, vulnerabilities, exploited, accepted, vex}, "image_signed_by"}, and "image_signatures_from"
  // where the policy names a registry.
  const Json& evidence() const { return evidence_; }

 private:
  friend class Admission;
  AdmittedRelease() = default;
  std::string name_, version_, environment_;
  Digest release_, image_, training_data_, review_statement_;
  Json evidence_ = Json::object();
};

// The newest scan of an image: when, and the open findings by severity; what is exploited or likely to be; what was accepted, by which
// documents.
struct ScanFacts {
  TimePoint scanned{};
  std::map<std::string, int> vulnerabilities;
  int exploited = 0;
  double epss_max = 0;
  Json accepted = Json::array(), vex = Json::array();
};

class Admission {
 public:
  struct Deps {
    ledger::EvidenceLog& evidence;
    provider::ModelRegistry& registry;
    vault::ArtifactStore& store;
    governance::StepRecorder& recorder;
    const Clock& clock;
    // Whether the identity had the role that a review asks for.
    std::function<bool(const std::string& identity)> may_review;
    // The image verified and scanned now.
    std::function<Result<ScanFacts>(const Digest& image)> scan;
    // Which of the policy's signers' signatures the image carries, verified, where the policy has them looked for; an error where that place can't be
    // asked. Empty: none is found, and a policy that asks for one refuses.
    std::function<Result<std::set<std::string>>(const Digest& image, const governance::Policy& policy)> image_signers = {};
  };
  explicit Admission(Deps deps) : deps_(std::move(deps)) {}

  // gate_refused with every reason the policy gives; tampered when anything in the chain or in the release does not verify;
  // waiting when the version has not been reviewed.
  Result<AdmittedRelease> admit(const std::string& name, const std::string& version, const std::string& environment,
                                const governance::Policy& policy);

 private:
  Status read_chain(const provider::ModelVersion& version, governance::AdmissionFacts& facts, AdmittedRelease& release);
  Status read_reviews(const provider::ModelVersion& version, governance::AdmissionFacts& facts, AdmittedRelease& release);
  Deps deps_;
};

}  // namespace redoubt::stages::deploy
