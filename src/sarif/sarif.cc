// SPDX-License-Identifier: Apache-2.0
#include "sarif/sarif.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/lower_case.h"

namespace redoubt::sarif {
namespace {

const char* to_string(Level level) {
  switch (level) {
    case Level::error: return "error";
    case Level::warning: return "warning";
    case Level::note: break;
  }
  return "note";
}

// A score of CVSS's scale, by which code hosts order findings of security tools.
const char* score_of(std::string_view severity) {
  const std::string name = lower_case(severity);
  if (name == "critical") return "9.5";
  if (name == "high") return "8.0";
  if (name == "medium" || name == "moderate") return "5.5";
  return "2.0";
}

// RFC 3986: a relative reference. A colon in its first part would read as a scheme, so it is escaped everywhere.
std::string to_uri(std::string_view path) {
  constexpr std::string_view kPlain = "-._~/!$&'()*+,;=@";
  std::string uri;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || kPlain.find(c) != kPlain.npos;
    uri += is_plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return uri;
}

Json to_rule(const Rule& rule) {
  Json out = {{"id", rule.id}};
  if (!rule.summary.empty()) out["shortDescription"] = {{"text", rule.summary}};
  if (!rule.help.empty()) out["help"] = {{"text", rule.help}};
  if (!rule.severity.empty()) {
    out["defaultConfiguration"] = {{"level", to_string(level_of(rule.severity))}};
    out["properties"] = {{"security-severity", score_of(rule.severity)}, {"tags", {"security"}}};
  }
  return out;
}

Json to_region(const Finding& finding) {
  Json region = Json::object();
  if (finding.line > 0) {
    region["startLine"] = finding.line;
    if (finding.column > 0) region["startColumn"] = finding.column;
  } else if (finding.offset) {
    region["byteOffset"] = *finding.offset;
    region["byteLength"] = 0;  // where it begins is known, not where it ends
  }
  return region;
}

Json to_result(const Finding& finding, std::size_t rule_index) {
  Json result = {{"ruleId", finding.rule},
                 {"ruleIndex", rule_index},
                 {"level", to_string(level_of(finding.severity))},
                 {"message", {{"text", finding.message.empty() ? finding.rule : finding.message}}}};
  Json location = Json::object();
  if (!finding.path.empty()) {
    location["physicalLocation"]["artifactLocation"] = {{"uri", to_uri(finding.path)}};
    if (Json region = to_region(finding); !region.empty()) location["physicalLocation"]["region"] = std::move(region);
  }
  if (!finding.member.empty()) location["logicalLocations"] = {{{"fullyQualifiedName", finding.member}}};
  if (!location.empty()) result["locations"].push_back(std::move(location));
  Json properties = finding.properties.is_object() ? finding.properties : Json::object();
  properties["severity"] = lower_case(finding.severity);
  result["properties"] = std::move(properties);
  return result;
}

}  // namespace

Level level_of(std::string_view severity) {
  const std::string name = lower_case(severity);
  if (name == "critical" || name == "high" || name == "error") return Level::error;
  return name == "medium" || name == "moderate" || name == "warning" ? Level::warning : Level::note;
}

Json to_log(Report report) {
  std::map<std::string, Rule> rules;
  for (auto& rule : report.rules) rules.insert({rule.id, std::move(rule)});
  for (const auto& finding : report.findings) rules.insert({finding.rule, Rule{finding.rule}});
  std::map<std::string, std::size_t> index;
  Json rule_list = Json::array(), results = Json::array();
  for (const auto& [id, rule] : rules) {
    index.insert({id, rule_list.size()});
    rule_list.push_back(to_rule(rule));
  }
  for (const auto& finding : report.findings) results.push_back(to_result(finding, index.at(finding.rule)));
  Json driver = {{"name", report.tool}, {"rules", std::move(rule_list)}};
  if (!report.version.empty()) driver["version"] = report.version;
  Json run = {{"tool", {{"driver", std::move(driver)}}}, {"columnKind", "unicodeCodePoints"}, {"results", std::move(results)}};
  return {{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"}, {"version", "2.1.0"}, {"runs", Json::array({std::move(run)})}};
}

}  // namespace redoubt::sarif
