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

// config/policy.yaml, checked against its schema.
struct Policy {
  int approvals_min = 1;
  std::vector<std::string> vulnerabilities_block = {"critical", "high"};
  int scan_age_hours_max = 24;
  int evaluation_age_days_max = 90;
  std::vector<std::string> licenses;  // SPDX identifiers of base models; empty: any
  std::vector<std::string> environments = {"dev", "staging", "production"};

  static Result<Policy> from_json(const Json& checked);
  Json to_json() const;
};

// What the chain of statements says about one version.
struct AdmissionFacts {
  std::string state;          // of the version: "Approved" or "Deployed" may be deployed
  std::string environment;    // where to
  std::string license;        // SPDX identifier of the base model
  std::set<std::string> run_by;  // identities that ran any step of the pipeline
  std::set<std::string> approved_by;  // identities with a signed approval and the role for it
  std::string gate;                   // verdict of the evaluation
  std::optional<TimePoint> evaluated, scanned;
  std::map<std::string, int> vulnerabilities;  // open findings by severity; accepted ones are not counted
};

// Why the version may not be deployed; empty when it may. Each reason names the rule and the cure.
std::vector<std::string> admission_refusals(const Policy& policy, const AdmissionFacts& facts, TimePoint now);

}  // namespace redoubt::governance
