// SPDX-License-Identifier: Apache-2.0
#include "stages/image/step.h"

#include <gtest/gtest.h>

#include "crypto/hash.h"

namespace redoubt::stages::image {
namespace {

TEST(ScanOptions, are_read_back_as_they_were_written) {
  ScanOptions options;
  options.apt_security = false;
  options.osv = {"/a/b.zip"};
  options.feed_age_days_max = 3;
  options.accepted = {{"CVE-1", "libc6", "not reachable", *parse_rfc3339("2027-01-01T00:00:00Z")}};
  options.epss = {"/a/epss.csv"};
  options.kev = {"/a/kev.json"};
  options.debian_tracker = {"/a/tracker.json"};
  options.vex = {{"vex.json", crypto::sha256("text"), "text"}};
  options.vex_until = *parse_rfc3339("2027-02-01T00:00:00Z");
  options.policy = {false, 0.25, false};
  const auto read = *scan_options_from_json(to_json(options));
  EXPECT_EQ(to_json(read), to_json(options));
}

TEST(ScanOptions, of_an_earlier_version_are_read_and_block_what_is_exploited) {
  const Json earlier = {{"apt_security", true}, {"osv", Json::array()}, {"feed_age_days_max", 14}, {"accepted_findings", Json::array()}};
  const auto read = scan_options_from_json(earlier);
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->policy.block_exploited && read->vex.empty());
}

std::string statement(const std::string& id, const std::string& product, const std::string& expires) {
  return R"({"@context": "https://openvex.dev/ns/v0.2.0", "statements": [{"vulnerability": {"name": ")" + id + R"("}, "products": [{"@id": ")" + product +
         R"("}], "status": "not_affected", "justification": "component_not_present", "expires": ")" + expires + R"("}]})";
}

TEST(ScanOptions, documents_accept_for_the_image_and_are_named_with_their_digest) {
  ScanOptions options;
  const std::string ours = statement("CVE-1", "pkg:oci/redoubt-engine", "2027-01-01"), other = statement("CVE-2", "pkg:oci/another", "2027-01-01");
  const Digest image = crypto::sha256("image");
  const std::string by_digest = statement("CVE-3", "pkg:oci/x@sha256%3A" + image.hex(), "2027-01-01");
  options.vex = {{"a.json", crypto::sha256(ours), ours}, {"b.json", crypto::sha256(other), other}, {"c.json", crypto::sha256(by_digest), by_digest}};
  const auto before = accepted_findings(options, {"redoubt-engine:123", std::nullopt});
  ASSERT_TRUE(before) << before.error().message;
  ASSERT_EQ(before->size(), 1u);
  EXPECT_EQ((*before)[0].id, "CVE-1");
  EXPECT_EQ((*before)[0].origin, "a.json (" + options.vex[0].digest.tagged() + ")");
  EXPECT_EQ(accepted_findings(options, {"redoubt-engine:123", image})->size(), 2u);
}

// They come out of statements and settings, so every value may be of any type.
TEST(ScanOptions, values_of_another_type_are_errors) {
  const Json good = to_json(ScanOptions{});
  ASSERT_TRUE(scan_options_from_json(good));
  for (const auto& [key, value] : good.items()) {
    for (const Json& wrong : {Json(nullptr), Json("x"), Json(1.5), Json(-1), Json(std::int64_t{1} << 40), Json::array({7}), Json::array({{{"id", 7}}}), Json{{"a", 1}}}) {
      Json changed = good;
      changed[key] = wrong;
      const auto read = scan_options_from_json(changed);
      ASSERT_FALSE(read) << changed;
      EXPECT_EQ(read.error().code, ErrorCode::invalid_argument) << changed;
    }
  }
  for (const Json& wrong : {Json(nullptr), Json(7), Json::array(), Json::object()}) EXPECT_FALSE(scan_options_from_json(wrong)) << wrong;
}

}  // namespace
}  // namespace redoubt::stages::image
