// SPDX-License-Identifier: Apache-2.0
#include "model_scan/report.h"

#include <iterator>

namespace redoubt::model_scan {

void ModelScan::add(ModelScan other) {
  findings.insert(findings.end(), std::make_move_iterator(other.findings.begin()), std::make_move_iterator(other.findings.end()));
  files += other.files;
  bytes += other.bytes;
}

Json ModelScan::to_json() const {
  Json list = Json::array();
  for (const auto& f : findings) {
    list.push_back({{"path", f.path}, {"kind", f.kind}, {"severity", f.severity}, {"detail", f.detail}, {"offset", f.offset}, {"rule", f.rule}, {"member", f.member}, {"opcode", f.opcode}});
  }
  return {{"safe", safe()}, {"findings", std::move(list)}, {"files", files}, {"bytes", bytes}};
}

sarif::Report ModelScan::to_sarif() const {
  sarif::Report report;
  for (const auto& f : findings) {
    sarif::Finding finding{.rule = f.rule, .severity = f.severity, .message = f.detail, .path = f.path, .member = f.member};
    finding.properties = {{"kind", f.kind}};
    if (!f.opcode.empty()) finding.properties["opcode"] = f.opcode;
    // An offset within a member is none within the file.
    if (f.member.empty()) {
      finding.offset = f.offset;
    } else {
      finding.properties["memberOffset"] = f.offset;
    }
    report.rules.push_back({.id = f.rule, .severity = f.severity});
    report.findings.push_back(std::move(finding));
  }
  return report;
}

}  // namespace redoubt::model_scan
