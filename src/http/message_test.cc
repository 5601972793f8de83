// SPDX-License-Identifier: Apache-2.0
#include "http/message.h"

#include <gtest/gtest.h>

#include "http/source.h"

namespace redoubt::http {
namespace {

class TenBytes final : public RandomAccess {
 public:
  std::uint64_t size() const override { return 10; }
  Status read_at(std::uint64_t, MutableByteView) const override { return {}; }
};

Response ask(Headers headers) {
  Request request;
  request.headers = std::move(headers);
  return object_response(request, std::make_shared<TenBytes>(), "application/octet-stream", "\"tag\"");
}

TEST(Message, headers_are_found_in_any_case) {
  Headers headers{{"Content-Type", "a"}, {"content-type", "b"}};
  ASSERT_NE(headers.find("CONTENT-TYPE"), nullptr);
  EXPECT_EQ(*headers.find("CONTENT-TYPE"), "a");
  EXPECT_EQ(headers.count("content-Type"), 2u);
  EXPECT_EQ(headers.find("content"), nullptr);
}

TEST(Message, percent_decoding_is_strict) {
  EXPECT_EQ(percent_decode("a%2Fb%20c+").value(), "a/b c+");
  for (auto* bad : {"%", "%2", "%zz", "a%0", "%00"}) EXPECT_FALSE(percent_decode(bad)) << bad;
}

TEST(Message, path_segments_are_split_before_they_are_decoded) {
  EXPECT_EQ(path_segments("/a/b%2Fc").value(), (std::vector<std::string>{"a", "b/c"}));
  EXPECT_TRUE(path_segments("/")->empty());
}

TEST(Message, query_values_are_found_once) {
  EXPECT_EQ(query_value("a=1&b=x%20y", "b").value(), "x y");
  EXPECT_EQ(query_value("a=1", "b").value(), std::nullopt);
  EXPECT_FALSE(query_value("a=1&a=2", "a"));
}

// RFC 9110 section 14.1.2 gives these forms.
TEST(Message, byte_ranges_follow_rfc_9110) {
  auto first = ask({{"range", "bytes=0-3"}});
  EXPECT_EQ(first.status, 206);
  EXPECT_EQ(*first.headers.find("content-range"), "bytes 0-3/10");
  EXPECT_EQ(first.length, 4u);
  auto rest = ask({{"range", "bytes=7-"}});
  EXPECT_EQ(rest.offset, 7u);
  EXPECT_EQ(rest.length, 3u);
  auto suffix = ask({{"range", "bytes=-4"}});
  EXPECT_EQ(suffix.offset, 6u);
  EXPECT_EQ(ask({{"range", "bytes=8-99"}}).length, 2u);
  EXPECT_EQ(ask({{"range", "bytes=10-"}}).status, 416);
  EXPECT_EQ(ask({{"range", "bytes=-0"}}).status, 416);
}

TEST(Message, ranges_that_are_malformed_or_many_get_the_whole_object) {
  for (auto* text : {"bytes=0-1,2-3", "bytes=3-1", "bytes=a-b", "bytes=", "bytes=-", "items=0-1", "bytes=1-2x",
                     "bytes=99999999999999999999-"}) {
    auto response = ask({{"range", text}});
    EXPECT_EQ(response.status, 200) << text;
    EXPECT_EQ(response.length, 10u) << text;
  }
}

TEST(Message, conditions_are_honoured) {
  EXPECT_EQ(ask({{"if-none-match", "\"tag\""}}).status, 304);
  EXPECT_EQ(ask({{"if-none-match", "\"other\""}}).status, 200);
  EXPECT_EQ(ask({{"range", "bytes=0-3"}, {"if-range", "\"other\""}}).status, 200);
  EXPECT_EQ(ask({{"range", "bytes=0-3"}, {"if-range", "\"tag\""}}).status, 206);
}

TEST(Source, is_an_address_of_ipv4_and_a_network_of_ipv6) {
  EXPECT_EQ(source_of("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(source_of("::ffff:192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(source_of("2001:db8:1:2::1"), "2001:db8:1:2::/64");
  EXPECT_EQ(source_of("2001:db8:1:2:ffff:1:2:3"), source_of("2001:db8:1:2::1"));
  EXPECT_NE(source_of("2001:db8:1:3::1"), source_of("2001:db8:1:2::1"));
  EXPECT_EQ(source_of("::1"), "::/64");
  EXPECT_EQ(source_of(""), "");
  EXPECT_EQ(source_of("no:address"), "no:address");
}

}  // namespace
}  // namespace redoubt::http
