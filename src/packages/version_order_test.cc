// SPDX-License-Identifier: Apache-2.0
//
// A few pairs of each order that its makers publish; tests/oracle/version_order_test.py asks the makers' own programs about thousands.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "packages/version_order.h"

namespace redoubt::packages {
namespace {

struct Pair {
  const char* a;
  char order;
  const char* b;
};

template <class Order>
void expect_order(Order compare, std::initializer_list<Pair> pairs) {
  for (const auto& [a, order, b] : pairs) {
    const int expected = order == '<' ? -1 : order == '>' ? 1 : 0;
    EXPECT_EQ(compare(a, b), expected) << a << " " << order << " " << b;
    EXPECT_EQ(compare(b, a), -expected) << b << " against " << a;
  }
}

TEST(DebianVersions, order_as_dpkg_does) {
  const char* versions[] = {"1.0", "1.0-1", "1.0~rc1-1", "1:0.1", "1.0+deb12u1", "1.0-1+deb12u2", "2.36-9+deb12u14", "2.36-9+deb12u9", "1.0a", "1.0.1", "0", "1.10", "1.9", "3.0.22-1~deb12u2", "3.0.22-1", "1.0-01"};
  const char* words[] = {"lt", "eq", "gt"};
  for (const char* a : versions) {
    for (const char* b : versions) {
      const int order = compare_debian_versions(a, b);
      EXPECT_EQ(std::system(("dpkg --compare-versions '" + std::string(a) + "' " + words[order + 1] + " '" + b + "'").c_str()), 0) << a << " " << b << " " << order;
    }
  }
}

// The order that PEP 440 gives in its own summary of permitted suffixes.
TEST(PythonVersions, order_as_pep_440_says) {
  const char* sorted[] = {"1.dev0", "1.0.dev456", "1.0a1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12", "1.0b1.dev456", "1.0b2", "1.0b2.post345.dev456", "1.0b2.post345", "1.0rc1.dev456", "1.0rc1", "1.0", "1.0+abc.5", "1.0+abc.7", "1.0+5", "1.0.post456.dev34", "1.0.post456", "1.0.15", "1.1.dev1", "1!0.1"};
  for (std::size_t i = 0; i < std::size(sorted); ++i) {
    for (std::size_t j = 0; j < std::size(sorted); ++j) {
      if (i == 0 || j == 0) continue;  // "1.dev0" equals "1.0.dev0"
      const int expected = i < j ? -1 : i > j ? 1 : 0;
      EXPECT_EQ(compare_python_versions(sorted[i], sorted[j]), expected) << sorted[i] << " " << sorted[j];
    }
  }
  EXPECT_EQ(compare_python_versions("v1.0.0", "1"), 0);
  EXPECT_EQ(compare_python_versions("0!1.0", "1.0"), 0);
  EXPECT_EQ(compare_python_versions("1.0a", "1.0a0"), 0);
  EXPECT_LT(compare_python_versions("not a version", "0.dev0"), 0);
  EXPECT_LT(compare_python_versions("1.0+", "0"), 0);
  EXPECT_LT(compare_python_versions("!1.0", "0"), 0);
  EXPECT_LT(compare_python_versions("1.0+a..b", "0"), 0);
}

// semver.org, section 11.
TEST(SemanticVersions, order_as_the_specification_says) {
  expect_order(compare_semantic_versions,
               {{"1.0.0", '<', "2.0.0"}, {"2.0.0", '<', "2.1.0"}, {"2.1.0", '<', "2.1.1"}, {"1.0.0-alpha", '<', "1.0.0"}, {"1.0.0-alpha", '<', "1.0.0-alpha.1"},
                {"1.0.0-alpha.1", '<', "1.0.0-alpha.beta"}, {"1.0.0-alpha.beta", '<', "1.0.0-beta"}, {"1.0.0-beta", '<', "1.0.0-beta.2"},
                {"1.0.0-beta.2", '<', "1.0.0-beta.11"}, {"1.0.0-beta.11", '<', "1.0.0-rc.1"}, {"1.0.0-rc.1", '<', "1.0.0"}, {"1.0.0+a", '=', "1.0.0+b"},
                {"v1.2", '=', "1.2.0"}, {"text", '<', "0.0.0-0"}, {"1.0.0-", '<', "0.0.0"}, {"99999999999999999999.0.0", '<', "100000000000000000000.0.0"}});
}

// rpm's own tests/rpmvercmp.at.
TEST(RpmVersions, order_as_rpm_tests_it) {
  expect_order(compare_rpm_versions, {{"1.0", '=', "1.0"}, {"2.0.1a", '=', "2.0.1a"}, {"2.0.1a", '>', "2.0.1"}, {"5.5p1", '<', "5.5p2"}, {"5.5p10", '>', "5.5p1"},
                                      {"10xyz", '<', "10.1xyz"}, {"xyz10", '<', "xyz10.1"}, {"xyz.4", '<', "8"}, {"5.5p2", '<', "5.6p1"}, {"6.0.rc1", '>', "6.0"},
                                      {"10b2", '>', "10a1"}, {"7.8", '<', "8.3"}, {"1.0^", '>', "1.0"}, {"1.0~rc1", '<', "1.0"}, {"1.0~rc1~git123", '<', "1.0~rc1"},
                                      {"1.0^git1", '<', "1.0.1"}, {"1.0^git1~pre", '<', "1.0^git1"}, {"1:1.0-1", '>', "2.0-1"}, {"1.0-1", '<', "1.0-2"}, {"2_0", '=', "2.0"}});
}

// apk-tools' own test/version.data.
TEST(AlpineVersions, order_as_apk_tests_it) {
  expect_order(compare_alpine_versions, {
      {"2.34", '>', "0.1.0_alpha"}, {"23_foo", '>', "4_beta"}, {"0.1.0_alpha", '=', "0.1.0_alpha"}, {"0.1.0_alpha", '<',
      "0.1.3_alpha"}, {"0.1.0_alpha2", '>', "0.1.0_alpha"}, {"0.1.0_alpha", '<', "2.2.39-r1"}, {"1.0.4-r3", '<', "1.0.4-r4"},
      {"1.1", '>', "1.1_alpha1"}, {"1.2", '<', "1.3_alpha"}, {"1.3_alpha2", '<', "1.3_alpha3"}, {"2.3.0b-r1", '<',
      "2.3.0b-r2"}, {"0.13_beta5", '>', "0.9.12"}, {"3.1_p17", '>', "1.06-r6"}, {"1.06-r6", '<', "006"}, {"006", '>',
      "1.0.0"}, {"1.02.07", '<', "1.02.10-r1"}, {"2.01.01_alpha10", '>', "0.94"}, {"1.39", '>', "1.00_beta2"}, {"021109-r3",
      '<', "20060512"}, {"3.0.0-r2", '<', "021109-r3"}, {"3.9_pre20060124", '>', "0.01"}, {"1.1.7", '<', "6b-r7"}, {"0.10.0",
      '<', "0.10.1_rc1"}, {"1.1a", '<', "1.3a"}, {"0.15.1b-r2", '>', "0.15.1b"}, {"2.10.1", '>', "02.08.01b"}, {"1.3-r0", '<',
      "1.3.1-r0"}, {"1.3_pre1-r1", '<', "1.3.2"}, {"1.0_p10-r0", '>', "1.0_p9-r0"}, {"0.1.0_alpha_pre2", '<', "0.1.0_alpha"},
      {"1.0.0_pre20191002222144-r0", '<', "1.0.0_pre20210530193627-r0"}, {"2.5.1-r8", '<', "2.5.1a-r1"}, {"4.5_p1", '<',
      "4.5_p1-r1"}, {"0.9.28-r2", '<', "0.9.28.1"}, {"087-r1", '<', "103"}, {"7.0.17", '<', "7.0.174"}, {"1.8.5", '<',
      "1.8.5_p2"}});
}

// Maven's own description of its order and the answers of `java -jar maven-artifact.jar`.
TEST(MavenVersions, order_as_maven_says) {
  expect_order(compare_maven_versions, {{"1", '<', "1.1"}, {"1-snapshot", '<', "1"}, {"1", '<', "1-sp"}, {"1-foo2", '<', "1-foo10"}, {"1.foo", '=', "1-foo"},
                                        {"1-foo", '<', "1-1"}, {"1-1", '<', "1.1"}, {"1.ga", '=', "1-ga"}, {"1-ga", '=', "1-0"}, {"1-0", '=', "1.0"}, {"1.0", '=', "1"},
                                        {"1-sp", '>', "1-ga"}, {"1-sp-1", '<', "1-ga-1"}, {"1-a1", '=', "1-alpha-1"}, {"1-cr", '=', "1-rc"}, {"1-alpha", '<', "1-beta"},
                                        {"1-rc", '<', "1-snapshot"}, {"2.0.0", '>', "2.0-rc1"}, {"1.0.0-RELEASE", '=', "1"}});
}

// Gem::Version's documentation and tests.
TEST(RubyVersions, order_as_rubygems_says) {
  expect_order(compare_ruby_versions, {{"1.0", '=', "1"}, {"1.8.2", '>', "0.0.0"}, {"1.8.2", '>', "1.8.2.a"}, {"1.8.2.b", '>', "1.8.2.a"}, {"1.8.2.a10", '>', "1.8.2.a9"},
                                       {"", '=', "0"}, {"0.beta.1", '=', "0.0.beta.1"}, {"5.a", '<', "5.0.0.rc2"}, {"5.x", '>', "5.0.0.rc2"}, {"1.0.0-1", '<', "1.0.0"}, {"1.9.3", '<', "1.10"}});
}

TEST(Versions, each_ecosystem_has_its_own_order) {
  EXPECT_LT(compare_versions("PyPI", "1.0rc1", "1.0"), 0);
  EXPECT_GT(compare_versions("Debian:12", "1.0rc1", "1.0"), 0);
  EXPECT_LT(compare_versions("npm", "1.0.0-rc1", "1.0.0"), 0);
  EXPECT_LT(compare_versions("Alpine:v3.18", "1.0_rc1-r0", "1.0-r0"), 0);
  EXPECT_GT(compare_versions("Rocky Linux:9", "1.0^1", "1.0"), 0);
  EXPECT_LT(compare_versions("Maven", "1.0-rc1", "1.0"), 0);
}

}  // namespace
}  // namespace redoubt::packages
