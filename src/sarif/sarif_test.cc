// SPDX-License-Identifier: Apache-2.0
#include "sarif/sarif.h"

#include <gtest/gtest.h>

namespace redoubt::sarif {
namespace {

Json result_of(Finding finding) { return to_log({.findings = {std::move(finding)}})["runs"][0]["results"][0]; }

TEST(Sarif, a_log_without_findings_has_a_run_with_no_results) {
  const Json log = to_log({.version = "1.2.3"});
  EXPECT_EQ(log["version"], "2.1.0");
  ASSERT_EQ(log["runs"].size(), 1u);
  EXPECT_EQ(log["runs"][0]["tool"]["driver"]["name"], "redoubt");
  EXPECT_EQ(log["runs"][0]["tool"]["driver"]["version"], "1.2.3");
  EXPECT_EQ(log["runs"][0]["results"], Json::array());
}

TEST(Sarif, results_point_at_their_rules) {
  const Json run = to_log({.rules = {{"z", "The last."}, {"b", "The second.", "Do this.", "high"}},
                           .findings = {{.rule = "b", .message = "one"}, {.rule = "a", .message = "two"}}})["runs"][0];
  const Json& rules = run["tool"]["driver"]["rules"];
  ASSERT_EQ(rules.size(), 3u);
  for (const Json& result : run["results"]) EXPECT_EQ(rules[result["ruleIndex"].get<std::size_t>()]["id"], result["ruleId"]);
  EXPECT_EQ(rules[1]["shortDescription"]["text"], "The second.");
  EXPECT_EQ(rules[1]["help"]["text"], "Do this.");
  EXPECT_EQ(rules[1]["properties"]["security-severity"], "8.0");
}

TEST(Sarif, severities_are_levels) {
  for (const auto& [severity, level] : {std::pair{"critical", "error"}, {"HIGH", "error"}, {"Medium", "warning"}, {"moderate", "warning"}, {"low", "note"}, {"", "note"}}) {
    EXPECT_EQ(result_of({.rule = "r", .severity = severity, .message = "m"})["level"], level) << severity;
  }
}

TEST(Sarif, places_are_escaped_and_as_exact_as_what_is_known) {
  const Json bytes = result_of({.rule = "r", .message = "m", .path = "a b/c:d%/\xc3\xa9#.pt", .member = "archive/data.pkl", .offset = 7});
  const Json& place = bytes["locations"][0];
  EXPECT_EQ(place["physicalLocation"]["artifactLocation"]["uri"], "a%20b/c%3Ad%25/%C3%A9%23.pt");
  EXPECT_EQ(place["physicalLocation"]["region"]["byteOffset"], 7);
  EXPECT_EQ(place["logicalLocations"][0]["fullyQualifiedName"], "archive/data.pkl");
  const Json line = result_of({.rule = "r", .message = "m", .path = "a", .line = 3, .column = 4});
  EXPECT_EQ(line["locations"][0]["physicalLocation"]["region"], (Json{{"startLine", 3}, {"startColumn", 4}}));
  EXPECT_FALSE(result_of({.rule = "r", .message = "m"}).contains("locations"));
}

}  // namespace
}  // namespace redoubt::sarif
