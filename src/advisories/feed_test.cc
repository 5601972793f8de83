// SPDX-License-Identifier: Apache-2.0
//
// Indexes of feeds, the feeds themselves, and what VEX documents accept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "advisories/download.h"
#include "advisories/ecr.h"
#include "advisories/matching.h"
#include "advisories/vex.h"
#include "base/file.h"
#include "base/memory_object.h"
#include "crypto/hash.h"

namespace redoubt::advisories {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

Advisory advisory(const std::string& id, const std::string& package) {
  return {id, "PyPI", package, {{"0", "2.0", ""}, {"3.0", "", "3.1"}}, {"1.0", "1.1"}, "high", 7.5, "CVSS:3.1/x", {"CVE-1"}};
}

Bytes bytes_of(FeedIndexWriter writer) {
  MemorySink sink;
  const auto source = std::move(writer).finish();
  EXPECT_TRUE(copy(*source, sink));
  return sink.take();
}

TEST(FeedIndex, gives_back_what_was_added_in_whatever_order) {
  FeedIndexWriter one, other, part;
  one.add(advisory("A", "b"));
  one.add(advisory("B", "a"));
  one.add(advisory("C", "b"));
  other.add(advisory("C", "b"));
  part.add(advisory("B", "a"));
  part.add(advisory("A", "b"));
  other.merge(std::move(part));
  EXPECT_THAT(other.ecosystems(), ElementsAre("PyPI"));
  const Bytes bytes = bytes_of(std::move(one));
  EXPECT_EQ(bytes, bytes_of(std::move(other)));
  const auto index = FeedIndex::open(std::make_shared<MemoryObject>(bytes), "index");
  ASSERT_TRUE(index);
  EXPECT_EQ(index->advisories("PyPI/a")->at(0), advisory("B", "a"));
  EXPECT_EQ(index->advisories("PyPI/b")->size(), 2u);
  for (const char* missing : {"PyPI/", "PyPI/aa", "PyPI/c", "", "Z"}) EXPECT_TRUE(index->find(missing)->empty()) << missing;
}

TEST(FeedIndex, every_cut_and_every_changed_byte_is_an_error_or_the_same_keys) {
  FeedIndexWriter writer;
  writer.add(advisory("A", "a"));
  writer.add(advisory("B", "b"));
  const Bytes whole = bytes_of(std::move(writer));
  for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(FeedIndex::open(std::make_shared<MemoryObject>(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))), "i")) << size;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes changed = whole;
    changed[at] ^= 0x80;
    const auto index = FeedIndex::open(std::make_shared<MemoryObject>(changed), "i");
    if (index) (void)index->advisories("PyPI/a");
  }
}

class FeedTest : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, std::string_view text) {
    EXPECT_TRUE(write_file(folder_.path() / name, text));
    return folder_.path() / name;
  }
  TemporaryFolder folder_ = *TemporaryFolder::create();
  TimePoint now_ = *parse_rfc3339("2026-11-23T00:00:00Z");
};

TEST_F(FeedTest, debians_tracker_says_what_each_release_has) {
  const auto file = write("data.json", R"({"glibc": {"CVE-2026-1": {"description": "x", "releases": {
    "bookworm": {"status": "resolved", "fixed_version": "2.36-9+deb12u9", "urgency": "medium"}, "trixie": {"status": "open", "urgency": "unimportant"}, "sid": {"status": "open"}}},
    "CVE-2026-2": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "0", "urgency": "not yet assigned"}}}}})");
  const AdvisorySet set = *read_sources({false, {}, {}, {file}, {}, {}});
  EXPECT_TRUE(set.covers("Debian:12"));
  EXPECT_FALSE(set.covers("Debian:11"));
  const auto found = *set.advisories("Debian:12/glibc");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(affected_until(found[0], "2.36-9"), "2.36-9+deb12u9");
  EXPECT_EQ(affected_until(found[0], "2.36-9+deb12u9"), std::nullopt);
  EXPECT_EQ(set.advisories("Debian:13/glibc")->at(0).severity, "low");
  for (const char* broken : {"", "{", "[]", "{}", R"({"a":7})", R"({"a":{"b":{}}})", R"({"a":{"b":{"releases":{"bookworm":{}}}}})"}) EXPECT_FALSE(read_debian_tracker(write("broken.json", broken), now_)) << broken;
}

TEST_F(FeedTest, epss_and_kev_are_told_with_a_finding_and_block) {
  const auto osv = write("a.json", R"({"id":"GHSA-1","modified":"2026-11-20T00:00:00Z","aliases":["CVE-2026-1"],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"}],"affected":[{"package":{"name":"a","ecosystem":"PyPI"},"versions":["1.0"]}]})");
  const auto epss = write("epss.csv", "#model_version:v2025.03.14,score_date:2026-11-20T00:00:00+0000\ncve,epss,percentile\nCVE-2026-1,0.93,0.99\n");
  const auto kev = write("kev.json", R"({"dateReleased":"2026-11-20T00:00:00.0Z","vulnerabilities":[{"cveID":"CVE-2026-1","dateAdded":"2026-11-01","knownRansomwareCampaignUse":"Known"}]})");
  const AdvisorySet set = *read_sources({false, {}, {osv}, {}, {epss}, {kev}});
  const auto scanned = [&](const ScanPolicy& policy) { return *scan_packages({{"PyPI", "a", "1.0", "", ""}}, set, {}, now_, policy); };
  const auto report = scanned({});
  ASSERT_EQ(report.findings.size(), 1u);
  const Finding& finding = report.findings[0];
  EXPECT_EQ(finding.id, "CVE-2026-1");
  EXPECT_THAT(finding.aliases, ElementsAre("GHSA-1"));
  EXPECT_EQ(finding.severity, "low");
  EXPECT_EQ(finding.epss, 0.93);
  EXPECT_EQ(finding.exploited_since, "2026-11-01");
  EXPECT_TRUE(finding.ransomware);
  EXPECT_TRUE(report.blocked);
  EXPECT_FALSE(scanned({.block_exploited = false}).blocked);
  EXPECT_TRUE(scanned({.block_exploited = false, .epss_block = 0.9}).blocked);
  EXPECT_FALSE(scanned({.block_exploited = false, .epss_block = 0.95}).blocked);
  for (const char* broken : {"", "cve,epss,percentile\n", "#x\nCVE-1,2,0.5\n", "CVE-1,0.5\n", "CVE-1,0.5,0.5\n", "#score_date:2026-11-20T00:00:00+0000\nx,0.1,0.1\n"}) EXPECT_FALSE(read_epss(write("broken.csv", broken))) << broken;
  for (const char* broken : {"", "{}", R"({"dateReleased":"2026-11-20T00:00:00Z","vulnerabilities":[]})", R"({"dateReleased":"x","vulnerabilities":[{"cveID":"CVE-1"}]})"}) EXPECT_FALSE(read_kev(write("broken.json", broken))) << broken;
}

TEST_F(FeedTest, records_of_one_flaw_are_one_finding) {
  ASSERT_TRUE(make_folder(folder_.path() / "osv"));
  write("osv/a.json", R"({"id":"GHSA-1","modified":"2026-11-20T00:00:00Z","aliases":["CVE-2026-1","PYSEC-1"],"affected":[{"package":{"name":"A_b","ecosystem":"PyPI"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2.0"}]}]}]})");
  write("osv/b.json", R"({"id":"PYSEC-1","modified":"2026-11-20T00:00:00Z","severity":[{"type":"CVSS_V4","score":"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}],"affected":[{"package":{"name":"a-b","ecosystem":"PyPI"},"versions":["1.0"]}]})");
  write("osv/c.json", R"({"id":"PYSEC-2","modified":"2026-11-20T00:00:00Z","affected":[{"package":{"name":"a-b","ecosystem":"PyPI"},"versions":["1.0"]}]})");
  const auto report = *scan_packages({{"PyPI", "a.b", "1.0", "", ""}}, *read_sources({false, {}, {folder_.path() / "osv"}, {}, {}, {}}), {}, now_);
  ASSERT_EQ(report.findings.size(), 2u);
  EXPECT_EQ(report.findings[0].id, "CVE-2026-1");
  EXPECT_EQ(report.findings[0].severity, "critical");
  EXPECT_EQ(report.findings[0].cvss, 9.3);
  EXPECT_EQ(report.findings[0].fixed, "2.0");
  EXPECT_THAT(report.findings[0].aliases, UnorderedElementsAre("GHSA-1", "PYSEC-1"));
  EXPECT_EQ(report.findings[1].id, "PYSEC-2");
}

// OSV schema 1.7: what a distribution's advisory is about.
TEST_F(FeedTest, an_advisory_counts_by_the_flaws_that_it_names_upstream) {
  const auto kev = write("kev.json", R"({"dateReleased":"2026-11-20T00:00:00.0Z","vulnerabilities":[{"cveID":"CVE-2026-2","dateAdded":"2026-11-01"}]})");
  const auto epss = write("epss.csv", "#score_date:2026-11-20T00:00:00+0000\ncve,epss,percentile\nCVE-2026-3,0.5,0.9\n");
  const auto record = [&](const std::string& name, const std::string& upstream) {
    return write(name + ".json", R"({"id":")" + name + R"(","modified":"2026-11-20T00:00:00Z","upstream":[)" + upstream +
                                     R"(],"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"}],"affected":[{"package":{"name":"a","ecosystem":"Rocky Linux:9"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2-1"}]}]}]})");
  };
  const AdvisorySet set = *read_sources({false, {}, {record("RLSA-1", R"("CVE-2026-2")"), record("RLSA-2", R"("CVE-2026-3","CVE-2026-4")"), record("CGA-1", R"("GHSA-9")")}, {}, {epss}, {kev}});
  const auto report = *scan_packages({{"Rocky Linux:9", "a", "1-1", "", ""}}, set, {{"CVE-2026-4", "", "looked at", now_ + std::chrono::hours(1)}}, now_, {});
  std::map<std::string, Finding> found;
  for (const auto& finding : report.findings) found[finding.id] = finding;
  ASSERT_EQ(found.size(), 3u);
  EXPECT_THAT(found.at("CVE-2026-2").aliases, ElementsAre("RLSA-1"));
  EXPECT_EQ(found.at("CVE-2026-2").exploited_since, "2026-11-01");
  EXPECT_TRUE(report.blocked);
  EXPECT_THAT(found.at("RLSA-2").upstream, ElementsAre("CVE-2026-3", "CVE-2026-4"));
  EXPECT_EQ(found.at("RLSA-2").epss, 0.5);
  EXPECT_FALSE(found.at("RLSA-2").accepted);  // who accepts one of several flaws accepts no more than that
  EXPECT_THAT(found.at("CGA-1").aliases, ElementsAre("GHSA-9"));
}

TEST_F(FeedTest, packages_that_no_feed_knows_are_named) {
  const auto osv = write("a.json", R"({"id":"A","modified":"2026-11-20T00:00:00Z","affected":[{"package":{"name":"a","ecosystem":"PyPI"},"versions":["9"]}]})");
  const AdvisorySet set = *read_sources({false, {}, {osv}, {}, {}, {}});
  const auto report = *scan_packages({{"PyPI", "b", "1", "", ""}, {"npm", "c", "1.0.0", "", ""}, {"Go", "d", "", "", ""}}, set, {}, now_, {.block_uncovered = true});
  EXPECT_THAT(report.uncovered, ElementsAre("Go", "npm"));
  EXPECT_EQ(report.unversioned.size(), 1u);
  EXPECT_TRUE(report.blocked);
}

class VexTest : public ::testing::Test {
 protected:
  static Result<std::vector<AcceptedFinding>> open_vex(const std::string& statement, std::optional<TimePoint> until = {}) {
    return read_vex(R"({"@context":"https://openvex.dev/ns/v0.2.0","@id":"x","author":"a","timestamp":"2026-01-01T00:00:00Z","version":1,"statements":[)" + statement + "]}", "vex.json", {"registry/app:v1", crypto::sha256("image")}, until);
  }
  static std::string statement(const std::string& products, const std::string& more) {
    return R"({"vulnerability":{"name":"CVE-2026-1"},"products":)" + products + R"(,"status":"not_affected")" + more + "}";
  }
};

TEST_F(VexTest, a_reason_and_an_end_are_asked_for) {
  const std::string all = R"([{"@id":"registry/app:v1"}])";
  const auto good = open_vex(statement(all, R"(,"justification":"vulnerable_code_not_present","expires":"2026-12-31")"));
  ASSERT_TRUE(good) << good.error().message;
  ASSERT_EQ(good->size(), 1u);
  EXPECT_EQ((*good)[0].expires, *parse_rfc3339("2027-01-01T00:00:00Z"));
  EXPECT_EQ((*good)[0].purl, "");
  EXPECT_FALSE(open_vex(statement(all, R"(,"expires":"2026-12-31")")));
  EXPECT_FALSE(open_vex(statement(all, R"(,"justification":"component_not_present")")));
  EXPECT_FALSE(open_vex(statement(all, R"(,"justification":"x","expires":"soon")")));
  EXPECT_EQ(open_vex(statement(all, R"(,"justification":"x")"), TimePoint{})->size(), 1u);
  EXPECT_FALSE(open_vex(R"({"status":"not_affected"})"));
  EXPECT_FALSE(open_vex(R"({"vulnerability":{"name":"CVE-1"},"status":"maybe"})"));
  EXPECT_TRUE(open_vex(R"({"vulnerability":{"name":"CVE-1"},"status":"under_investigation"})")->empty());
  for (const char* text : {"", "[]", "{}", R"({"@context":"https://example.org"})"}) EXPECT_FALSE(read_vex(text, "vex", {"a", {}})) << text;
}

TEST_F(VexTest, products_are_this_image_or_a_package_in_it) {
  const std::string more = R"(,"justification":"x","expires":"2026-12-31")";
  const std::string digest = crypto::sha256("image").hex(), other = crypto::sha256("other").hex();
  const auto purls = [&](const std::string& products) {
    const auto accepted = open_vex(statement(products, more));
    std::vector<std::string> out;
    for (const auto& each : *accepted) out.push_back(each.purl);
    return out;
  };
  EXPECT_THAT(purls(R"([{"@id":"pkg:oci/app@sha256%3A)" + digest + R"("}])"), ElementsAre(""));
  EXPECT_TRUE(purls(R"([{"@id":"pkg:oci/app@sha256%3A)" + other + R"("}])").empty());
  EXPECT_THAT(purls(R"([{"@id":"pkg:oci/app","subcomponents":[{"@id":"pkg:pypi/a@1.0"}]}])"), ElementsAre("pkg:pypi/a@1.0"));
  EXPECT_TRUE(purls(R"([{"@id":"pkg:oci/another"}])").empty());
  EXPECT_THAT(purls(R"(["pkg:deb/debian/libc6"])"), ElementsAre("pkg:deb/debian/libc6"));
}

// OpenVEX 0.2.0: of statements about the same vulnerability and product, the latest counts.
TEST_F(VexTest, a_later_statement_takes_an_acceptance_back) {
  const auto at = [](const char* time, const char* status, const std::string& products = R"([{"@id":"registry/app:v1"}])") {
    return std::string(R"({"vulnerability":{"name":"CVE-2026-1"},"products":)") + products + R"(,"status":")" + status + R"(","justification":"x","expires":"2027-01-01","timestamp":")" + time + R"("})";
  };
  const auto ids = [](const Result<std::vector<AcceptedFinding>>& accepted) { return accepted ? static_cast<int>(accepted->size()) : -1; };
  const std::string early = at("2026-01-02T00:00:00Z", "not_affected");
  EXPECT_EQ(ids(open_vex(early)), 1);
  EXPECT_EQ(ids(open_vex(early + "," + at("2026-02-01T00:00:00Z", "affected"))), 0);
  EXPECT_EQ(ids(open_vex(at("2026-02-01T00:00:00Z", "under_investigation") + "," + early)), 0);  // by their times, not by their places
  EXPECT_EQ(ids(open_vex(at("2026-01-01T12:00:00Z", "affected") + "," + early)), 1);
  EXPECT_EQ(ids(open_vex(at("2026-02-01T00:00:00Z", "affected") + "," + early + "," + at("2026-03-01T00:00:00Z", "fixed"))), 1);
  // Of the same moment the one that stands last; about another image, none.
  EXPECT_EQ(ids(open_vex(early + "," + at("2026-01-02T00:00:00Z", "affected"))), 0);
  EXPECT_EQ(ids(open_vex(early + "," + at("2026-02-01T00:00:00Z", "affected", R"([{"@id":"registry/other:v1"}])"))), 1);
  // A package of the image that is affected is no longer covered by what was said of all of it, and one that was never meant stays as it is.
  const std::string part = R"([{"@id":"registry/app:v1","subcomponents":[{"@id":"pkg:pypi/a@1.0"}]}])", other = R"([{"@id":"registry/app:v1","subcomponents":[{"@id":"pkg:pypi/b"}]}])";
  EXPECT_EQ(ids(open_vex(early + "," + at("2026-02-01T00:00:00Z", "affected", part))), 0);
  EXPECT_EQ(ids(open_vex(at("2026-01-02T00:00:00Z", "not_affected", other) + "," + at("2026-02-01T00:00:00Z", "affected", part))), 1);
  EXPECT_EQ(ids(open_vex(at("2026-01-02T00:00:00Z", "not_affected", R"([{"@id":"registry/app:v1","subcomponents":[{"@id":"pkg:pypi/a"}]}])") + "," + at("2026-02-01T00:00:00Z", "affected", part))), 0);
  EXPECT_EQ(ids(open_vex(early + "," + at("last week", "affected"))), -1);
}

TEST_F(VexTest, cyclonedx_says_it_by_its_analysis) {
  const auto read = [](const std::string& analysis, const std::string& more) {
    return read_vex(R"({"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[{"id":"CVE-1","analysis":)" + analysis + R"(,"affects":[{"ref":"urn:cdx:3e67/1#pkg:pypi/a@1.0"}])" + more + "}]}", "v", {"a", {}});
  };
  const std::string until = R"(,"properties":[{"name":"redoubt:expires","value":"2026-12-31T00:00:00Z"}])";
  EXPECT_EQ(read(R"({"state":"not_affected","justification":"code_not_reachable"})", until)->at(0).purl, "pkg:pypi/a@1.0");
  EXPECT_FALSE(read(R"({"state":"not_affected"})", until));
  // What the document calls a component is looked up in it.
  const auto named = read_vex(R"({"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"bom-ref":"app","purl":"pkg:oci/a","type":"container","name":"a"}},"components":[{"type":"library","name":"x","components":[{"bom-ref":"c 1#2","purl":"pkg:pypi/a@1.0"}]}],"vulnerabilities":[
    {"id":"CVE-1","analysis":{"state":"not_affected","detail":"x"},"affects":[{"ref":"c 1#2"},{"ref":"app"},{"ref":"gone"}])" + until + "}]}", "v", {"a", {}});
  ASSERT_TRUE(named);
  ASSERT_EQ(named->size(), 2u);
  EXPECT_EQ(named->at(0).purl, "pkg:pypi/a@1.0");
  EXPECT_EQ(named->at(1).purl, "");
  EXPECT_FALSE(read(R"({"state":"false_positive","detail":"x"})", ""));
  EXPECT_TRUE(read(R"({"state":"exploitable","detail":"x"})", "")->empty());
  const auto twice = [](const std::string& first, const std::string& second) {
    const auto one = [](const std::string& analysis) { return R"({"id":"CVE-1","analysis":{)" + analysis + R"(},"affects":[{"ref":"image"}],"properties":[{"name":"redoubt:expires","value":"2027-01-01"}]})"; };
    const auto accepted = read_vex(R"({"bomFormat":"CycloneDX","specVersion":"1.6","vulnerabilities":[)" + one(first) + "," + one(second) + "]}", "v", {"a", {}});
    return accepted ? static_cast<int>(accepted->size()) : -1;
  };
  const std::string fine = R"("state":"not_affected","detail":"x")", grave = R"("state":"exploitable")";
  EXPECT_EQ(twice(fine, grave), 0);
  EXPECT_EQ(twice(grave, fine), 1);
  EXPECT_EQ(twice(fine + R"(,"lastUpdated":"2026-03-01T00:00:00Z")", grave + R"(,"firstIssued":"2026-02-01T00:00:00Z")"), 1);
  EXPECT_EQ(twice(grave + R"(,"lastUpdated":"2026-03-01T00:00:00Z")", fine + R"(,"lastUpdated":"2026-02-01T00:00:00Z")"), 0);
}

TEST(PurlMatch, qualifiers_count_nothing_and_a_version_where_there_is_one) {
  EXPECT_TRUE(detail::purl_matches("pkg:deb/debian/libc6", "pkg:deb/debian/libc6@2.36?arch=amd64"));
  EXPECT_TRUE(detail::purl_matches("pkg:deb/debian/libc6@2.36?arch=arm64", "pkg:deb/debian/libc6@2.36?arch=amd64"));
  EXPECT_FALSE(detail::purl_matches("pkg:deb/debian/libc6@2.37", "pkg:deb/debian/libc6@2.36"));
  EXPECT_FALSE(detail::purl_matches("pkg:deb/debian/libc", "pkg:deb/debian/libc6@2.36"));
  // The specification has '+' and ':' escaped in a name or a version and takes them as they are, too.
  EXPECT_TRUE(detail::purl_matches("pkg:deb/debian/libstdc++6@1:12.2.0-14", "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14?arch=amd64"));
  EXPECT_TRUE(detail::purl_matches("pkg:npm/@scope/a@1.0.0", "pkg:npm/%40scope/a@1.0.0"));
  EXPECT_TRUE(detail::purl_matches("pkg:npm/%40scope/a", "pkg:npm/%40scope/a@1.0.0"));
  EXPECT_FALSE(detail::purl_matches("pkg:npm/%40scope/a", "pkg:npm/%40scope/ab@1.0.0"));
}

TEST(HttpDates, are_read_in_the_preferred_form) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), *parse_rfc3339("1994-11-06T08:49:37Z"));
  EXPECT_FALSE(parse_http_date("yesterday"));
}

}  // namespace
}  // namespace redoubt::advisories
