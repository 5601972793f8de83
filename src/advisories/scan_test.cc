// SPDX-License-Identifier: Apache-2.0
#include "advisories/scan.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace redoubt::advisories {
namespace {

using packages::Package;

class ScanTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_ = *TemporaryFolder::create();
  TimePoint now_ = *parse_rfc3339("2026-11-23T00:00:00Z");

  void write(const std::string& name, std::string_view text) {
    ASSERT_TRUE(make_folder((folder_.path() / name).parent_path()));
    ASSERT_TRUE(write_file(folder_.path() / name, text));
  }
  static Package python(std::string name, std::string version) { return {"PyPI", std::move(name), std::move(version), "", ""}; }
  static Package debian(std::string name, std::string version, std::string source) { return {"Debian:12", std::move(name), version, std::move(source), version}; }
  AdvisorySet osv() { return *read_sources({false, {}, {folder_.path() / "osv"}, {}, {}, {}}); }
};

TEST_F(ScanTest, osv_records_match_by_range_and_by_list) {
  write("osv/a.yaml", "id: A-1\nmodified: \"2026-11-20T00:00:00Z\"\naffected:\n- package: {name: torch, ecosystem: PyPI}\n  ranges:\n"
                      "  - type: ECOSYSTEM\n    events: [{introduced: \"0\"}, {fixed: 2.6.0}, {introduced: 2.9.0}, {fixed: 2.9.2}]\n  versions: [2.7.0]\n"
                      "severity:\n- {type: CVSS_V3, score: \"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H\"}\n");
  write("osv/b.json", R"({"id":"B-1","modified":"2026-11-21T00:00:00Z","withdrawn":"2026-01-01T00:00:00Z","affected":[{"package":{"name":"torch","ecosystem":"PyPI"},"versions":["2.13.0"]}]})");
  const AdvisorySet advisories = osv();
  EXPECT_EQ(advisories.feeds().at(0).records, 2u);
  const auto findings = [&](const char* version) { return scan_packages({python("Torch", version)}, advisories, {}, now_)->findings.size(); };
  EXPECT_EQ(findings("2.5.1+cpu"), 1u);
  EXPECT_EQ(findings("2.6.0"), 0u);
  EXPECT_EQ(findings("2.7.0"), 1u);
  EXPECT_EQ(findings("2.9.1"), 1u);
  EXPECT_EQ(findings("2.13.0+cpu"), 0u);
  const auto report = *scan_packages({python("torch", "2.5.1")}, advisories, {}, now_);
  EXPECT_EQ(report.findings[0].severity, "critical");
  EXPECT_TRUE(report.blocked);
}

TEST_F(ScanTest, a_python_package_of_debians_is_listed_and_judged_by_its_debian_package_alone) {
  write("osv/a.json", R"({"id":"PYSEC-1","modified":"2026-11-20T00:00:00Z","affected":[{"package":{"name":"requests","ecosystem":"PyPI"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.31.0"}]}]}]})");
  write("osv/b.json", R"({"id":"DEBIAN-CVE-2026-1","modified":"2026-11-20T00:00:00Z","affected":[{"package":{"name":"requests","ecosystem":"Debian:12"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.28.1+dfsg-2"}]}]}]})");
  const AdvisorySet advisories = osv();
  Package owned = python("requests", "2.28.1");
  owned.owner = "python3-requests";
  const auto ids = [&](std::vector<Package> packages) {
    std::string out;
    const auto report = *scan_packages(std::move(packages), advisories, {}, now_);
    for (const auto& finding : report.findings) out += finding.id + " in " + finding.package + "; ";
    return out;
  };
  EXPECT_EQ(ids({owned, debian("python3-requests", "2.28.1+dfsg-1", "requests")}), "CVE-2026-1 in python3-requests; ");
  EXPECT_EQ(ids({owned, debian("python3-requests", "2.28.1+dfsg-2", "requests")}), "");
  EXPECT_EQ(ids({python("requests", "2.28.1"), debian("python3-requests", "2.28.1+dfsg-2", "requests")}), "PYSEC-1 in requests; ");
  EXPECT_EQ(scan_packages({owned}, advisories, {}, now_)->packages.size(), 1u);
}

TEST_F(ScanTest, an_accepted_finding_blocks_again_when_its_time_is_over) {
  write("osv/a.json", R"({"id":"A-1","modified":"2026-11-20T00:00:00Z","affected":[{"package":{"name":"openssl","ecosystem":"Debian:12"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]})");
  const AdvisorySet advisories = osv();
  const std::vector<AcceptedFinding> accepted = {{"A-1", "libssl3", "not reachable", now_ + std::chrono::hours(1)}};
  const std::vector<Package> packages = {debian("libssl3", "3.0.11-1", "openssl")};
  EXPECT_FALSE(scan_packages(packages, advisories, accepted, now_)->blocked);
  EXPECT_TRUE(scan_packages(packages, advisories, accepted, now_ + std::chrono::hours(2))->blocked);
  EXPECT_TRUE(scan_packages(packages, advisories, {}, now_)->blocked);
}

TEST_F(ScanTest, what_another_scanner_found_counts_like_our_own_and_once) {
  ScanReport report;
  report.scanned = now_;
  report.findings.push_back({"CVE-1", "libssl3", "3.0", "", "medium", "openssl", "3.0", 0, false});
  add_findings(report, {{"CVE-1", "openssl", "3.0", "", "low", 0}, {"CVE-2", "zlib", "1", "2", "", 0}}, {});
  ASSERT_EQ(report.findings.size(), 2u);
  EXPECT_FALSE(report.blocked);
  add_findings(report, {{"CVE-1", "openssl", "3.0", "", "high", 0}}, {});
  EXPECT_EQ(report.findings.size(), 2u);
  EXPECT_EQ(report.findings[0].severity, "high");
  EXPECT_TRUE(report.blocked);
  ScanReport accepted;
  accepted.scanned = now_;
  add_findings(accepted, {{"CVE-3", "bash", "5", "", "critical", 9.8}}, {{"CVE-3", "bash", "not reachable", now_ + std::chrono::hours(1)}});
  EXPECT_FALSE(accepted.blocked);
}

TEST_F(ScanTest, an_older_version_than_the_suite_has_is_a_missing_fix) {
  write("lists/deb_debian-security_dists_InRelease", "Origin: Debian\nDate: Sat, 21 Nov 2026 00:53:02 UTC\n");
  write("lists/deb_debian-security_main_Packages", "Package: libssl3\nVersion: 3.0.22-1~deb12u2\n\nPackage: other\nVersion: 1\n");
  const AdvisorySet advisories = *read_sources({true, folder_.path() / "lists", {}, {}, {}, {}});
  EXPECT_TRUE(check_age(advisories.feeds(), 14, now_));
  EXPECT_EQ(check_age(advisories.feeds(), 1, now_).error().code, ErrorCode::gate_refused);
  EXPECT_EQ(scan_packages({debian("libssl3", "3.0.22-1~deb12u1", "openssl")}, advisories, {}, now_)->findings.at(0).fixed, "3.0.22-1~deb12u2");
  EXPECT_TRUE(scan_packages({debian("libssl3", "3.0.22-1~deb12u2", "openssl")}, advisories, {}, now_)->findings.empty());
}

TEST_F(ScanTest, no_feed_an_empty_one_or_a_broken_one_is_an_error) {
  EXPECT_EQ(check_age({}, 14, now_).error().code, ErrorCode::not_found);
  ASSERT_TRUE(make_folder(folder_.path() / "empty"));
  EXPECT_FALSE(read_apt_security(folder_.path() / "empty"));
  EXPECT_FALSE(read_osv(folder_.path() / "empty"));
  write("broken.zip", "PK nothing");
  EXPECT_FALSE(read_osv(folder_.path() / "broken.zip"));
  write("osv/a.json", "{");
  EXPECT_FALSE(read_osv(folder_.path() / "osv"));
}

}  // namespace
}  // namespace redoubt::advisories
