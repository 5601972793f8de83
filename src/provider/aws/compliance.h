// SPDX-License-Identifier: Apache-2.0
//
// The compliance view: each control with what AWS Config, Security Hub and our own evidence say of it. What nobody looked at is neither
// passed nor failed.
#pragma once

#include <string>
#include <vector>

#include "provider/aws/api/client.h"
#include "provider/aws/compliance_controls.h"

namespace redoubt::provider::aws {

enum class Verdict { passed, failed, not_checked };
const char* to_string(Verdict verdict);  // "passed", "failed", "not checked"

struct ComplianceCheck {
  std::string source;  // "config", "securityhub", "stack", "workspace"
  std::string name;    // the rule, the control's id, the type of resource, "ledger"
  Verdict verdict = Verdict::not_checked;
  std::vector<std::string> resources = {};  // that failed; where it passed, those that were looked at, if the source tells
  std::string detail = {};                  // why it failed or was not checked
};

struct ControlReport {
  const Control* control = nullptr;
  std::vector<ComplianceCheck> checks;
  // Failed where one check failed; passed where one passed and none failed.
  Verdict verdict() const;
};

// `own` are checks that the caller made, named as the controls name them. A guard that is off or may not be read leaves its checks
// not checked, with the reason; an error where it can't be reached.
Result<std::vector<ControlReport>> read_compliance(Client& client, const std::vector<ComplianceCheck>& own);

}  // namespace redoubt::provider::aws
