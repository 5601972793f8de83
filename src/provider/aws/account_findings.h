// SPDX-License-Identifier: Apache-2.0
//
// What the account's own guards have found: GuardDuty's and Inspector's active findings, failed sign-ins to the console by CloudTrail,
// rules of AWS Config that are broken, controls of Security Hub that failed, and what IAM Access Analyzer says of roles and their
// use (access from outside, access that nobody uses). A guard that is off is a finding too. Titles may name persons; the other members never do.
#pragma once

#include <string>
#include <vector>

#include "provider/aws/api/client.h"

namespace redoubt::provider::aws {

struct AccountFindingsOptions {
  double guardduty_severity_min = 4;  // medium and above, on its scale of 1 to 10
  int failed_logins_max = 5;          // in the last hours; more are a finding
  int hours = 24;
};

struct AccountFinding {
  std::string source;    // "guardduty", "inspector", "cloudtrail", "config", "securityhub", "accessanalyzer"
  std::string id;        // the source's own; the same at every reading
  std::string severity;  // "critical", "high", "medium"
  std::string type;      // "Recon:IAMUser/MaliciousIPCaller", "PACKAGE_VULNERABILITY", "FailedConsoleLogins", a control's id ("S3.5")
  std::string title;
  std::string time;      // RFC 3339; when it was first seen
};

// By source, then by id. An error names the guard that could not be read: an account that can't be looked at is not known to be well.
Result<std::vector<AccountFinding>> read_account_findings(Client& client, const Clock& clock, const AccountFindingsOptions& options = {});

}  // namespace redoubt::provider::aws
