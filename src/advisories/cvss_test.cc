// SPDX-License-Identifier: Apache-2.0
#include "advisories/cvss.h"

#include <gtest/gtest.h>

namespace redoubt::advisories {
namespace {

// Scores that the calculator of first.org gives (CVSS v3.1 user guide examples).
TEST(Cvss, scores_are_those_of_the_published_examples) {
  EXPECT_EQ(cvss3_base_score("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"), 9.8);
  EXPECT_EQ(cvss3_base_score("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H"), 10.0);
  EXPECT_EQ(cvss3_base_score("CVSS:3.1/AV:N/AC:L/PR:L/UI:R/S:C/C:L/I:L/A:N"), 5.4);
  EXPECT_EQ(cvss3_base_score("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H"), 7.8);
  EXPECT_EQ(cvss3_base_score("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"), 0.0);
  EXPECT_FALSE(cvss3_base_score("CVSS:3.1/AV:N"));
  EXPECT_FALSE(cvss3_base_score("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"));
  EXPECT_FALSE(cvss_score("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/A:N"));
  EXPECT_FALSE(cvss_score("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/ZZ:N"));
  EXPECT_EQ(severity_of_score(9.0), "critical");
  EXPECT_EQ(severity_of_score(6.9), "medium");
}

// first.org's examples for version 4.0; tests/oracle/cvss_test.py asks another implementation about thousands.
TEST(Cvss4, scores_are_those_of_the_published_examples) {
  EXPECT_EQ(cvss4_score("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H"), 10.0);
  EXPECT_EQ(cvss4_score("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"), 9.3);
  EXPECT_EQ(cvss4_score("CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"), 7.3);
  EXPECT_EQ(cvss4_score("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N/U:Amber"), 0.0);
  for (const char* wrong : {"CVSS:4.0/", "CVSS:4.0/AV:N", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:S/SI:N/SA:N", "CVSS:4.0/AV:NN", "CVSS:4.0/AV:/", "CVSS:4.0//", "CVSS:4.0/AV:N/AV:N"}) {
    EXPECT_FALSE(cvss4_score(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace redoubt::advisories
