// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "provider/local/image_store.h"
#include "stages/image/build.h"
#include "stages/image/scan.h"
#include "stages/image/tar.h"
#include "stages/image/version_order.h"

namespace redoubt::stages::image {
namespace {

namespace fs = std::filesystem;

std::string shell(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string out;
  char chunk[4096];
  while (const std::size_t count = std::fread(chunk, 1, sizeof chunk, pipe)) out.append(chunk, count);
  return std::to_string(::pclose(pipe)) + ":" + out;
}

TEST(Elf, finds_what_ldd_finds) {
  const auto files = *resolve_program("/bin/bash");
  EXPECT_EQ(files.interpreter, "/lib64/ld-linux-x86-64.so.2");
  EXPECT_TRUE(files.libraries.contains("libc.so.6"));
  EXPECT_TRUE(files.libraries.contains("libtinfo.so.6"));
}

TEST(Elf, malformed_files_are_errors) {
  const auto folder = *TemporaryFolder::create();
  const Bytes whole = *read_file("/bin/true", 1 << 20);
  for (std::size_t size : {0ul, 3ul, 63ul, 64ul, 200ul, 700ul}) {
    ASSERT_TRUE(write_file(folder.path() / "cut", ByteView(whole).first(size)));
    EXPECT_FALSE(resolve_program(folder.path() / "cut")) << size;
  }
  ASSERT_TRUE(write_file(folder.path() / "text", std::string_view("#!/bin/sh\n")));
  EXPECT_FALSE(read_elf(folder.path() / "text"));
}

TEST(Tar, is_read_by_tar) {
  const auto folder = *TemporaryFolder::create();
  ASSERT_TRUE(write_file(folder.path() / "big", Bytes(100'000, 'x')));
  auto tar = *TarSource::create({{"usr/bin/big", 0755, folder.path() / "big", {}}, {"etc/passwd", 0644, {}, "engine\n"}, {"tmp/", 01777, {}, {}}});
  ASSERT_TRUE(write_file(folder.path() / "a.tar", *read_all(*tar, 1 << 20)));
  EXPECT_EQ(shell("tar tvf " + (folder.path() / "a.tar").string() + " | awk '{print $1,$3,$6}'"),
            "0:drwxr-xr-x 0 etc/\n-rw-r--r-- 7 etc/passwd\ndrwxrwxrwt 0 tmp/\ndrwxr-xr-x 0 usr/\ndrwxr-xr-x 0 usr/bin/\n-rwxr-xr-x 100000 usr/bin/big\n");
}

TEST(Tar, refuses_unsafe_and_doubled_paths) {
  EXPECT_FALSE(TarSource::create({{"../x", 0644, {}, ""}}));
  EXPECT_FALSE(TarSource::create({{"/x", 0644, {}, ""}}));
  EXPECT_FALSE(TarSource::create({{"x", 0644, {}, ""}, {"x", 0644, {}, ""}}));
}

class BuildTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_ = *TemporaryFolder::create();
  NoProgress progress_;
  BuildOptions options_{"/bin/bash", "shell", "1.0"};
};

TEST_F(BuildTest, equal_contents_give_the_equal_digest_and_skopeo_reads_it) {
  Digest digests[2];
  for (int i = 0; i < 2; ++i) {
    auto store = *provider::local::LocalImageStore::open(folder_.path() / std::to_string(i));
    const auto contents = *collect_contents(options_, progress_);
    const auto built = *build_image(options_, contents, *store, progress_);
    digests[i] = built.manifest.digest;
    EXPECT_TRUE(store->verify_all().empty());
    const auto inspected = shell("skopeo inspect --format '{{.Digest}}' oci:" + (folder_.path() / std::to_string(i)).string() + ":" + built.tag);
    EXPECT_EQ(inspected, "0:" + built.manifest.digest.tagged() + "\n");
  }
  EXPECT_EQ(digests[0], digests[1]);
}

TEST_F(BuildTest, every_changed_file_of_the_layout_is_named_and_tags_do_not_move) {
  auto store = *provider::local::LocalImageStore::open(folder_.path() / "i");
  const auto built = *build_image(options_, *collect_contents(options_, progress_), *store, progress_);
  EXPECT_EQ(store->tag(built.tag, {"x", {}, 1}).error().code, ErrorCode::already_exists);
  const auto files = *list_files(folder_.path() / "i");
  for (const auto& file : files) {
    if (file == ".lock") continue;
    const Bytes before = *read_file(folder_.path() / "i" / file, 64 << 20);
    Bytes changed = before;
    changed[changed.size() / 2] ^= 1;
    ASSERT_TRUE(write_file(folder_.path() / "i" / file, ByteView(changed)));
    EXPECT_FALSE(store->verify_all().empty()) << file;
    ASSERT_TRUE(write_file(folder_.path() / "i" / file, ByteView(before)));
  }
  EXPECT_TRUE(store->verify_all().empty());
}

TEST_F(BuildTest, every_changed_byte_of_the_index_is_noticed) {
  auto store = *provider::local::LocalImageStore::open(folder_.path() / "i");
  (void)*build_image(options_, *collect_contents(options_, progress_), *store, progress_);
  const Bytes before = *read_file(folder_.path() / "i/index.json", 1 << 20);
  for (std::size_t at = 0; at < before.size(); ++at) {
    Bytes changed = before;
    changed[at] ^= 1;
    ASSERT_TRUE(write_file(folder_.path() / "i/index.json", ByteView(changed)));
    EXPECT_FALSE(store->verify_all().empty()) << at;
  }
}

TEST_F(BuildTest, packages_are_those_of_dpkg) {
  const auto packages = *find_packages(options_, *collect_contents(options_, progress_));
  const auto libc = std::find_if(packages.begin(), packages.end(), [](const Package& p) { return p.name == "libc6"; });
  ASSERT_NE(libc, packages.end());
  EXPECT_EQ("0:" + libc->version, shell("dpkg-query -W -f '${Version}' libc6"));
  EXPECT_EQ(libc->source, "glibc");
  for (const auto& package : packages) {
    if (!package.ecosystem.starts_with("Debian")) continue;
    EXPECT_EQ("0:" + package.source + " " + package.source_version, shell("dpkg-query -W -f '${source:Package} ${source:Version}' " + package.name + ":amd64")) << package.name;
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
}

// Scores that the calculator of first.org gives (CVSS v3.1 user guide examples).
TEST(Cvss, scores_are_those_of_the_published_examples) {
  EXPECT_EQ(cvss3_base_score("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"), 9.8);
  EXPECT_EQ(cvss3_base_score("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H"), 10.0);
  EXPECT_EQ(cvss3_base_score("CVSS:3.1/AV:N/AC:L/PR:L/UI:R/S:C/C:L/I:L/A:N"), 5.4);
  EXPECT_EQ(cvss3_base_score("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H"), 7.8);
  EXPECT_EQ(cvss3_base_score("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"), 0.0);
  EXPECT_FALSE(cvss3_base_score("CVSS:3.1/AV:N"));
  EXPECT_FALSE(cvss3_base_score("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"));
  EXPECT_EQ(severity_of_score(9.0), "critical");
  EXPECT_EQ(severity_of_score(6.9), "medium");
}

class ScanTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_ = *TemporaryFolder::create();
  TimePoint now_ = *parse_rfc3339("2026-11-23T00:00:00Z");

  void write(const std::string& name, std::string_view text) {
    ASSERT_TRUE(make_folder((folder_.path() / name).parent_path()));
    ASSERT_TRUE(write_file(folder_.path() / name, text));
  }
  static Package python(std::string name, std::string version) { return {"PyPI", std::move(name), std::move(version), "", "", {}}; }
  static Package debian(std::string name, std::string version, std::string source) { return {"Debian:12", std::move(name), version, std::move(source), version, {}}; }
};

TEST_F(ScanTest, osv_records_match_by_range_and_by_list) {
  write("osv/a.yaml", "id: A-1\nmodified: \"2026-11-20T00:00:00Z\"\naffected:\n- package: {name: torch, ecosystem: PyPI}\n  ranges:\n"
                      "  - type: ECOSYSTEM\n    events: [{introduced: \"0\"}, {fixed: 2.6.0}, {introduced: 2.9.0}, {fixed: 2.9.2}]\n  versions: [2.7.0]\n"
                      "severity:\n- {type: CVSS_V3, score: \"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H\"}\n");
  write("osv/b.json", R"({"id":"B-1","modified":"2026-11-21T00:00:00Z","withdrawn":"2026-01-01T00:00:00Z","affected":[{"package":{"name":"torch","ecosystem":"PyPI"},"versions":["2.13.0"]}]})");
  Advisories advisories;
  ASSERT_TRUE(read_osv(folder_.path() / "osv", advisories));
  EXPECT_EQ(advisories.feeds.at(0).records, 2u);
  const auto findings = [&](const char* version) { return scan_packages({python("Torch", version)}, advisories, {}, now_).findings.size(); };
  EXPECT_EQ(findings("2.5.1+cpu"), 1u);
  EXPECT_EQ(findings("2.6.0"), 0u);
  EXPECT_EQ(findings("2.7.0"), 1u);
  EXPECT_EQ(findings("2.9.1"), 1u);
  EXPECT_EQ(findings("2.13.0+cpu"), 0u);
  const auto report = scan_packages({python("torch", "2.5.1")}, advisories, {}, now_);
  EXPECT_EQ(report.findings[0].severity, "critical");
  EXPECT_TRUE(report.blocked);
}

TEST_F(ScanTest, an_accepted_finding_blocks_again_when_its_time_is_over) {
  write("osv/a.json", R"({"id":"A-1","modified":"2026-11-20T00:00:00Z","affected":[{"package":{"name":"openssl","ecosystem":"Debian:12"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"}]}]}]})");
  Advisories advisories;
  ASSERT_TRUE(read_osv(folder_.path() / "osv", advisories));
  const std::vector<AcceptedFinding> accepted = {{"A-1", "libssl3", "not reachable", now_ + std::chrono::hours(1)}};
  const std::vector<Package> packages = {debian("libssl3", "3.0.11-1", "openssl")};
  EXPECT_FALSE(scan_packages(packages, advisories, accepted, now_).blocked);
  EXPECT_TRUE(scan_packages(packages, advisories, accepted, now_ + std::chrono::hours(2)).blocked);
  EXPECT_TRUE(scan_packages(packages, advisories, {}, now_).blocked);
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
  Advisories advisories;
  ASSERT_TRUE(read_apt_security(folder_.path() / "lists", advisories));
  EXPECT_TRUE(check_age(advisories, 14, now_));
  EXPECT_EQ(check_age(advisories, 1, now_).error().code, ErrorCode::gate_refused);
  EXPECT_EQ(scan_packages({debian("libssl3", "3.0.22-1~deb12u1", "openssl")}, advisories, {}, now_).findings.at(0).fixed, "3.0.22-1~deb12u2");
  EXPECT_TRUE(scan_packages({debian("libssl3", "3.0.22-1~deb12u2", "openssl")}, advisories, {}, now_).findings.empty());
}

TEST_F(ScanTest, no_feed_an_empty_one_or_a_broken_one_is_an_error) {
  Advisories advisories;
  EXPECT_EQ(check_age(advisories, 14, now_).error().code, ErrorCode::not_found);
  ASSERT_TRUE(make_folder(folder_.path() / "empty"));
  EXPECT_FALSE(read_apt_security(folder_.path() / "empty", advisories));
  EXPECT_FALSE(read_osv(folder_.path() / "empty", advisories));
  write("broken.zip", "PK nothing");
  EXPECT_FALSE(read_osv(folder_.path() / "broken.zip", advisories));
  write("osv/a.json", "{");
  EXPECT_FALSE(read_osv(folder_.path() / "osv", advisories));
}

}  // namespace
}  // namespace redoubt::stages::image
