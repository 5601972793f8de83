// SPDX-License-Identifier: Apache-2.0
//
// Admission: what a version must show before it may be deployed, decided over facts that were read from verified statements.
// There is no flag that skips it, and what is not shown is taken as not there.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"

namespace redoubt::governance {

// Whose signature an image may carry.
struct ImageSigner {
  std::string name, key;  // PEM of the public key
};

// A registry that is asked for an image's signatures.
struct SignatureSource {
  std::string repository;    // https://HOST[:PORT]/NAME
  std::string ca_file;       // PEM of who signed its certificate; empty: the system's
  std::string login_secret;  // that holds USER:PASSWORD or a bearer token; empty: no login
};

// config/policy.yaml, checked against its schema.
struct Policy {
  int approvals_min = 1;
  std::vector<std::string> vulnerabilities_block = {"critical", "high"};
  int scan_age_hours_max = 24;
  bool block_exploited = true;  // an open finding that KEV lists, whatever its severity
  double epss_block = 0;        // an open finding with at least this EPSS score; 0: none
  std::vector<ImageSigner> image_signers;  // empty: no signature is asked for
  int image_signatures_min = 1;            // by different ones of them
  std::optional<SignatureSource> signatures_from;  // whose signatures count alone; nothing: those beside the image in the workspace
  int evaluation_age_days_max = 90;
  std::vector<std::string> licenses;  // SPDX identifiers of base models; empty: any
  std::vector<std::string> environments = {"dev", "staging", "production"};
  std::map<std::string, std::string> promotion;  // environments and the one where the very bytes must have stood before

  // The signers' keys are PEM texts here; in the file they are names of files.
  static Result<Policy> from_json(const Json& checked);
  Json to_json() const;
};

// What the chain of statements says about one version.
struct AdmissionFacts {
  std::string state;          // of the version: "Approved" or "Deployed" may be deployed
  std::string environment;    // where to
  std::set<std::string> stood_in = {};  // environments that have served the same release by the same image
  std::string license;        // SPDX identifier of the base model
  std::set<std::string> run_by;  // identities that ran any step of the pipeline
  std::set<std::string> approved_by;  // identities with a signed approval and the role for it
  std::string gate;                   // verdict of the evaluation
  std::optional<TimePoint> evaluated, scanned;
  std::map<std::string, int> vulnerabilities;  // open findings by severity; accepted ones are not counted
  int exploited = 0;                           // open findings that KEV lists
  double epss_max = 0;                         // the highest EPSS score of an open finding
  std::set<std::string> image_signed_by;       // names of the policy's signers whose signature was verified
};

// Why the version may not be deployed; empty when it may. Each reason names the rule and the cure.
std::vector<std::string> admission_refusals(const Policy& policy, const AdmissionFacts& facts, TimePoint now);

}  // namespace redoubt::governance
