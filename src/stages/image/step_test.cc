// SPDX-License-Identifier: Apache-2.0
#include "stages/image/step.h"

#include <gtest/gtest.h>

namespace redoubt::stages::image {
namespace {

TEST(ScanOptions, are_read_back_as_they_were_written) {
  ScanOptions options;
  options.apt_security = false;
  options.osv = {"/a/b.zip"};
  options.feed_age_days_max = 3;
  options.accepted = {{"CVE-1", "libc6", "not reachable", *parse_rfc3339("2027-01-01T00:00:00Z")}};
  const auto read = *scan_options_from_json(to_json(options));
  EXPECT_EQ(to_json(read), to_json(options));
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
