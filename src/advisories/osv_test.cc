// SPDX-License-Identifier: Apache-2.0
//
// How OSV records meet installed packages (https://ossf.github.io/osv-schema/#evaluation).
#include <gtest/gtest.h>

#include "advisories/scan.h"
#include "base/file.h"

namespace redoubt::advisories {
namespace {

using packages::Package;

class OsvTest : public ::testing::Test {
 protected:
  ScanReport scan(const std::string& record, std::vector<Package> packages) {
    const auto folder = *TemporaryFolder::create();
    EXPECT_TRUE(write_file(folder.path() / "a.json", record));
    const auto read = read_sources({false, {}, {folder.path()}, {}, {}, {}});
    EXPECT_TRUE(read) << read.error().message;
    return *scan_packages(std::move(packages), *read, {}, *parse_rfc3339("2026-11-23T00:00:00Z"));
  }
  std::vector<Finding> torch(const std::string& affected, const std::string& version, const std::string& more = "") {
    return scan(R"({"id":"A-1","modified":"2026-11-20T00:00:00Z")" + more + R"(,"affected":[{"package":{"name":"torch","ecosystem":"PyPI"},)" + affected + "}]}",
                {{"PyPI", "torch", version, "", ""}}).findings;
  }
  static Package debian(std::string name, std::string version, std::string source, std::string source_version) {
    return {"Debian:12", std::move(name), std::move(version), std::move(source), std::move(source_version)};
  }
  static std::string debian_record(const std::string& package, const std::string& fixed, const std::string& more = "") {
    return R"({"id":"D-1","modified":"2026-11-20T00:00:00Z","affected":[{"package":{"name":")" + package + R"(","ecosystem":"Debian:12"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":")" +
           fixed + R"("}]}])" + more + "}]}";
  }
};

// Debian's own example of the difference: libgcc-s1 12.2.0-14+deb12u1 comes from gcc-12 of the same version, but
// libxcb-util 1:0.4.1 or a binNMU has a version that its source never had.
TEST_F(OsvTest, debian_advisories_are_about_the_version_of_the_source) {
  const auto fixed_in_4 = debian_record("gcc-defaults", "1.204");
  EXPECT_EQ(scan(fixed_in_4, {debian("cpp", "4:12.2.0-3", "gcc-defaults", "1.203")}).findings.size(), 1u);
  EXPECT_EQ(scan(fixed_in_4, {debian("cpp", "4:12.2.0-3", "gcc-defaults", "1.204")}).findings.size(), 0u);
  // A rebuild without a change to the source: "+b1" is not a fix.
  EXPECT_EQ(scan(debian_record("zlib", "1:1.2.13.dfsg-1+a"), {debian("zlib1g", "1:1.2.13.dfsg-1+b1", "zlib", "1:1.2.13.dfsg-1")}).findings.size(), 1u);
}

TEST_F(OsvTest, events_count_in_the_order_of_versions_and_not_of_the_file) {
  const std::string mixed = R"("ranges":[{"type":"ECOSYSTEM","events":[{"fixed":"2.9.2"},{"introduced":"2.9.0"},{"fixed":"2.6.0"},{"introduced":"0"}]}])";
  const std::pair<const char*, const char*> fixed[] = {{"2.5.0", "2.6.0"}, {"2.9.1", "2.9.2"}};
  for (const auto& [version, fix] : fixed) {
    ASSERT_EQ(torch(mixed, version).size(), 1u) << version;
    EXPECT_EQ(torch(mixed, version)[0].fixed, fix);
  }
  for (const char* version : {"2.6.0", "2.8.9", "2.9.2", "2.10.0"}) EXPECT_TRUE(torch(mixed, version).empty()) << version;
  const std::string last = R"("ranges":[{"type":"ECOSYSTEM","events":[{"last_affected":"2.0"},{"introduced":"2.0"}]}])";
  EXPECT_EQ(torch(last, "2.0").size(), 1u);
  EXPECT_EQ(torch(last, "2.0")[0].fixed, "");
  EXPECT_TRUE(torch(last, "2.0.1").empty());
}

TEST_F(OsvTest, nothing_from_the_greatest_limit_on_is_affected) {
  const auto ranges = [](const std::string& events) { return R"("ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},)" + events + "]}]"; };
  for (const char* events : {R"({"limit":"2.0"})", R"({"limit":"1.2"},{"limit":"2.0"})", R"({"fixed":"1.2"},{"introduced":"1.4"},{"limit":"2.0"},{"last_affected":"3.0"})"}) {
    EXPECT_EQ(torch(ranges(events), "1.9").size(), 1u) << events;
    for (const char* version : {"2.0", "2.5", "3.0", "4.0"}) EXPECT_TRUE(torch(ranges(events), version).empty()) << events << version;
  }
  EXPECT_EQ(torch(ranges(R"({"limit":"*"},{"limit":"2.0"})"), "4.0").size(), 1u);
  EXPECT_TRUE(torch(R"("ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"2.0"},{"limit":"2.0"}]}])", "2.1").empty());
}

TEST_F(OsvTest, a_version_that_is_listed_is_fixed_by_the_next_fix_above_it) {
  const std::string both = R"("versions":["1.0"],"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"3.0"},{"fixed":"3.1"},{"introduced":"1.1"},{"fixed":"1.2"}]}])";
  EXPECT_EQ(torch(both, "1.0").at(0).fixed, "1.2");
}

TEST_F(OsvTest, suses_advisories_name_the_module_that_ships_a_package) {
  const auto found = [&](const std::string& product, const std::string& version_id) {
    const auto distribution = *packages::parse_os_release("ID=sles\nVERSION_ID=\"" + version_id + "\"\n", "etc/os-release");
    const std::string record = R"({"id":"S-1","modified":"2026-11-20T00:00:00Z","affected":[{"package":{"name":"gzip","ecosystem":"SUSE:)" + product +
                               R"("},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1.10-4"}]}]}]})";
    const auto report = scan(record, {{distribution.ecosystem(), "gzip", "1.10-3", "", ""}});
    EXPECT_EQ(report.findings.empty() && report.uncovered.empty(), false) << product << ": neither found nor told to be unknown";
    return !report.findings.empty();
  };
  for (const char* product : {"Linux Enterprise Module for Basesystem 15 SP7", "Linux Enterprise Server 15 SP7", "Linux Enterprise Server 15 SP7-LTSS", "Linux Enterprise Server for SAP Applications 15 SP7",
                              "Linux Enterprise High Performance Computing 15 SP7-ESPOS"}) {
    EXPECT_TRUE(found(product, "15.7")) << product;
    EXPECT_FALSE(found(product, "15.6")) << product;
  }
  for (const char* product : {"Linux Enterprise Server 16.0", "Linux Enterprise Module for Basesystem 15", "Linux Enterprise Micro 5.5", "Linux Micro 6.2", "Linux Enterprise Server 5 SP7"}) EXPECT_FALSE(found(product, "15.7")) << product;
  EXPECT_TRUE(found("Linux Enterprise Module for Basesystem 15", "15"));
}

TEST_F(OsvTest, only_a_date_withdraws_a_record) {
  const std::string affected = R"("versions":["1.0"])";
  EXPECT_EQ(torch(affected, "1.0", R"(,"withdrawn":null)").size(), 1u);
  EXPECT_EQ(torch(affected, "1.0", R"(,"withdrawn":"")").size(), 1u);
  EXPECT_EQ(torch(affected, "1.0", R"(,"withdrawn":false)").size(), 1u);
  EXPECT_EQ(torch(affected, "1.0", R"(,"withdrawn":"2026-01-01T00:00:00Z")").size(), 0u);
}

TEST_F(OsvTest, the_urgency_that_debian_gives_is_the_severity_where_no_vector_is_given) {
  const auto severity = [&](const std::string& urgency) {
    return scan(debian_record("glibc", "9", R"(,"ecosystem_specific":{"urgency":")" + urgency + "\"}"), {debian("libc6", "2.36-9", "glibc", "2.36-9")}).findings.at(0).severity;
  };
  EXPECT_EQ(severity("unimportant"), "low");
  EXPECT_EQ(severity("medium"), "medium");
  EXPECT_EQ(severity("not yet assigned"), "high");
}

TEST_F(OsvTest, a_vector_without_any_impact_is_no_grave_one) {
  EXPECT_EQ(torch(R"("versions":["1.0"])", "1.0", R"(,"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"}])").at(0).severity, "low");
}

TEST_F(OsvTest, members_of_another_type_are_no_crash) {
  for (const char* record : {R"({"id":"A","affected":7})", R"({"id":"A","affected":[7,{"package":7},{"package":{"name":7,"ecosystem":[]},"ranges":7,"versions":{"a":1},"severity":"x"}]})",
                             R"({"id":"A","severity":[7,{"score":7}],"affected":[{"package":{"name":"a","ecosystem":"PyPI"},"ranges":[{"events":[7,{"introduced":7},{"fixed":null}]}]}]})"}) {
    (void)scan(record, {{"PyPI", "a", "1", "", ""}});
  }
}

}  // namespace
}  // namespace redoubt::advisories
