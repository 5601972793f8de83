// SPDX-License-Identifier: Apache-2.0
#include "stages/data/report.h"

#include <algorithm>

namespace redoubt::stages::data {

const char* severity_of(const Finding& finding) { return finding.action == Action::stop ? "error" : "warning"; }

const Finding* DataReport::first_blocking() const {
  const auto found = std::find_if(findings.begin(), findings.end(), [](const Finding& finding) { return finding.action == Action::stop; });
  return found == findings.end() ? nullptr : &*found;
}

sarif::Report DataReport::to_sarif() const {
  sarif::Report log;
  for (const auto& [name, count] : counts) {
    const Kind* known = find_kind(name);
    log.rules.push_back({.id = "data/" + name, .summary = known == nullptr ? "a word of a list" : known->meaning});
  }
  for (const auto& f : findings) {
    sarif::Finding finding{.rule = "data/" + f.kind, .severity = f.action == Action::stop ? "high" : "medium", .message = f.kind + ": " + f.detail, .path = f.file};
    finding.line = f.line;
    finding.properties = {{"action", to_string(f.action)}};
    if (f.column > 0) finding.properties["byteColumn"] = f.column;
    log.findings.push_back(std::move(finding));
  }
  return log;
}

Json DataReport::to_json() const {
  Json list = Json::array(), each = Json::array();
  for (const auto& f : findings) {
    list.push_back({{"kind", f.kind}, {"severity", severity_of(f)}, {"action", to_string(f.action)}, {"file", f.file}, {"line", f.line}, {"column", f.column}, {"detail", f.detail}});
  }
  for (const auto& f : files) each.push_back({{"file", f.name}, {"rows", f.rows}, {"bytes_read", f.bytes_read}, {"bytes_total", f.bytes_total}});
  return {{"rows", rows},           {"findings", std::move(list)}, {"counts", counts},   {"dropped_rows", dropped_rows}, {"redacted", redacted},      {"dropped", dropped},
          {"languages", languages}, {"files", std::move(each)},    {"policy", policy},   {"bytes_read", bytes_read},     {"bytes_total", bytes_total}};
}

}  // namespace redoubt::stages::data
