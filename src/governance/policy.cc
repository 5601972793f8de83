// SPDX-License-Identifier: Apache-2.0
#include "governance/policy.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace redoubt::governance {
namespace {

bool contains(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// A time in the future means that a clock ran backwards: as bad as none.
bool is_older_than(std::optional<TimePoint> time, TimePoint now, std::chrono::hours age_max) {
  return !time || *time > now || now - *time > age_max;
}

}  // namespace

Result<Policy> Policy::from_json(const Json& checked) {
  Policy policy;
  policy.approvals_min = static_cast<int>(TRY(json_integer(checked, "approvals_min", "policy")));
  const Json vulnerabilities = TRY(json_object(checked, "vulnerabilities", "policy"));
  policy.vulnerabilities_block = TRY(json_array(vulnerabilities, "block", "policy")).get<std::vector<std::string>>();
  policy.scan_age_hours_max = static_cast<int>(TRY(json_integer(vulnerabilities, "scan_age_hours_max", "policy")));
  policy.evaluation_age_days_max = static_cast<int>(TRY(json_integer(checked, "evaluation_age_days_max", "policy")));
  policy.licenses = TRY(json_array(checked, "licenses", "policy")).get<std::vector<std::string>>();
  policy.environments = TRY(json_array(checked, "environments", "policy")).get<std::vector<std::string>>();
  return policy;
}

Json Policy::to_json() const {
  return {{"approvals_min", approvals_min},
          {"vulnerabilities", {{"block", vulnerabilities_block}, {"scan_age_hours_max", scan_age_hours_max}}},
          {"evaluation_age_days_max", evaluation_age_days_max},
          {"licenses", licenses},
          {"environments", environments}};
}

std::vector<std::string> admission_refusals(const Policy& policy, const AdmissionFacts& facts, TimePoint now) {
  std::vector<std::string> refusals;
  if (facts.state != "Approved" && facts.state != "Deployed") {
    refusals.push_back(fmt::format("the version is {}; only an approved one is deployed", facts.state));
  }
  if (!contains(policy.environments, facts.environment)) {
    refusals.push_back(fmt::format("the policy does not allow the environment '{}'", facts.environment));
  }
  if (facts.gate != "pass") refusals.push_back("the evaluation did not pass its thresholds");
  if (is_older_than(facts.evaluated, now, std::chrono::days(policy.evaluation_age_days_max))) {
    refusals.push_back(fmt::format("the evaluation is older than {} days; evaluate again", policy.evaluation_age_days_max));
  }
  std::vector<std::string> approvals;
  std::set_difference(facts.approved_by.begin(), facts.approved_by.end(), facts.run_by.begin(), facts.run_by.end(), std::back_inserter(approvals));
  if (static_cast<int>(approvals.size()) < policy.approvals_min) {
    refusals.push_back(fmt::format("{} of {} approvals by somebody other than who ran the pipeline ({})", approvals.size(), policy.approvals_min,
                                   fmt::join(facts.run_by, ", ")));
  }
  if (is_older_than(facts.scanned, now, std::chrono::hours(policy.scan_age_hours_max))) {
    refusals.push_back(fmt::format("the image's vulnerability scan is older than {} hours; scan again", policy.scan_age_hours_max));
  }
  for (const auto& severity : policy.vulnerabilities_block) {
    const auto found = facts.vulnerabilities.find(severity);
    if (found != facts.vulnerabilities.end() && found->second > 0) {
      refusals.push_back(fmt::format("the image has {} open {} vulnerabilities", found->second, severity));
    }
  }
  if (!policy.licenses.empty() && !contains(policy.licenses, facts.license)) {
    refusals.push_back(fmt::format("the base model's license '{}' is none that the policy allows", facts.license));
  }
  return refusals;
}

}  // namespace redoubt::governance
