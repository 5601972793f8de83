// SPDX-License-Identifier: Apache-2.0
//
// What Redoubt on AWS has to keep, the clauses of the frameworks that ask for it, and who can tell whether it is kept: AWS's managed
// Config rules by their identifiers, Security Hub's controls by their ids, and our own look at the stack and the workspace.
// Clauses: AICPA Trust Services Criteria 2017, 45 CFR part 164, Regulation (EU) 2016/679, PCI DSS 4.0.1. Identifiers:
// https://docs.aws.amazon.com/config/latest/developerguide/managed-rules-by-aws-config.html and
// https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-controls-reference.html
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace redoubt::provider::aws {

enum class Framework { soc2, hipaa, gdpr, pci_dss };
constexpr Framework kFrameworks[] = {Framework::soc2, Framework::hipaa, Framework::gdpr, Framework::pci_dss};

const char* to_string(Framework framework);  // "soc2", "hipaa", "gdpr", "pci-dss"
std::optional<Framework> framework_of(std::string_view name);

struct Control {
  std::string_view id, title;
  std::string_view soc2, hipaa, gdpr, pci_dss;  // its clauses
  std::vector<std::string_view> rules;          // of AWS Config
  std::vector<std::string_view> controls;       // of Security Hub
  std::vector<std::string_view> own;            // types of the stack's resources, "ledger", "secrets"
  std::string_view clauses(Framework framework) const;
};

std::span<const Control> controls();

}  // namespace redoubt::provider::aws
