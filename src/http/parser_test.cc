// SPDX-License-Identifier: Apache-2.0
//
// The malformed requests are those that nginx, Boost.Beast and cpp-httplib were probed with, and those that smuggling papers
// use.
#include "http/parser.h"

#include <gtest/gtest.h>

namespace redoubt::http {
namespace {

using namespace std::string_literals;

constexpr ParserLimits kLimits{.head_bytes_max = 4096, .target_bytes_max = 1024, .headers_max = 20, .body_bytes_max = 1000};

// 0 when the head is taken, the status of the refusal otherwise; 1 when more bytes would be waited for.
int status_of(const std::string& text) {
  auto end = find_head_end(text, 0, kLimits);
  if (!end) return end.error().status;
  if (*end == 0) return 1;
  auto head = parse_head(text.substr(0, *end), kLimits);
  return head ? 0 : head.error().status;
}

std::string with(const std::string& headers) { return "POST /v1 HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n"; }

RequestHead head_of(const std::string& text) { return parse_head(text, kLimits).value(); }

// The body of a chunked request, cut into pieces of `step` bytes; the refusal's status as text if it is refused.
std::string chunked(const std::string& wire, std::size_t step) {
  BodyParser parser(head_of(with("Transfer-Encoding: chunked\r\n")), kLimits.body_bytes_max);
  std::string body;
  for (std::size_t at = 0; at < wire.size() && !parser.done(); at += step) {
    auto used = parser.consume(std::string_view(wire).substr(at, step), body);
    if (!used) return "refused " + std::to_string(used.error().status);
  }
  return parser.done() ? body : "incomplete";
}

TEST(Parser, an_ordinary_request_is_read) {
  auto head = head_of("GET /v1/models?x=1&y=?z HTTP/1.1\r\nHost: example.org:8443\r\nAccept:  a, b \t\r\nX-Empty:\r\n\r\n");
  EXPECT_EQ(head.request.method, "GET");
  EXPECT_EQ(head.request.path, "/v1/models");
  EXPECT_EQ(head.request.query, "x=1&y=?z");
  EXPECT_EQ(*head.request.headers.find("Accept"), "a, b");
  EXPECT_EQ(*head.request.headers.find("x-empty"), "");
  EXPECT_EQ(head.framing, BodyFraming::none);
  EXPECT_TRUE(head.keep_alive);
}

TEST(Parser, connection_options_are_read) {
  EXPECT_FALSE(head_of(with("Connection: foo, Close\r\n")).keep_alive);
  EXPECT_TRUE(head_of(with("Connection: keep-alive\r\n")).keep_alive);
  EXPECT_FALSE(head_of("GET / HTTP/1.0\r\n\r\n").keep_alive);
}

TEST(Parser, body_framing_is_read) {
  EXPECT_EQ(head_of(with("Content-Length: 12\r\n")).body_bytes, 12u);
  EXPECT_EQ(head_of(with("Transfer-Encoding: Chunked\r\n")).framing, BodyFraming::chunked);
  EXPECT_TRUE(head_of(with("Content-Length: 1\r\nExpect: 100-continue\r\n")).expects_continue);
}

TEST(Parser, absolute_form_is_taken_only_for_the_host_it_names) {
  EXPECT_EQ(head_of("GET https://a.b:1/x?y HTTP/1.1\r\nHost: A.B:1\r\n\r\n").request.path, "/x");
  EXPECT_EQ(status_of("GET https://a/x HTTP/1.1\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET https://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET https:///x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET https://a HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

TEST(Parser, bare_line_feed_is_refused) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\nHost: a\n\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\n\n"), 400);
}
TEST(Parser, bare_carriage_return_is_refused) {
  EXPECT_EQ(status_of(with("X: a\rb\r\n")), 400);
  EXPECT_EQ(status_of(with("X: a\r\r\n")), 400);
}
TEST(Parser, nul_is_refused) {
  EXPECT_EQ(status_of(with("X: a\0b\r\n"s)), 400);
  EXPECT_EQ(status_of("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"s), 400);
}
TEST(Parser, control_characters_in_values_are_refused) {
  EXPECT_EQ(status_of(with("X: a\x01\r\n")), 400);
  EXPECT_EQ(status_of(with("X: a\x7f\r\n")), 400);
  EXPECT_EQ(status_of(with("X: a\tb\r\n")), 0);
}
TEST(Parser, folded_header_is_refused) {
  EXPECT_EQ(status_of(with("X: a\r\n b\r\n")), 400);
  EXPECT_EQ(status_of(with("X: a\r\n\tb\r\n")), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400);
}
TEST(Parser, space_before_colon_is_refused) {
  EXPECT_EQ(status_of(with("Content-Length : 5\r\n")), 400);
  EXPECT_EQ(status_of(with("Transfer-Encoding\t: chunked\r\n")), 400);
}
TEST(Parser, malformed_header_name_is_refused) {
  for (auto* line : {": a\r\n", "X\r\n", "X Y: a\r\n", "X(: a\r\n", "\x80: a\r\n"})
    EXPECT_EQ(status_of(with(line)), 400) << line;
}
TEST(Parser, transfer_encoding_other_than_chunked_is_refused) {
  for (auto* value : {"xchunked", "chunked, identity", "identity, chunked", "gzip, chunked", "identity", "", "chunked,",
                      "\"chunked\"", "chunked;q=1",
                      "\x0b"
                      "chunked"})
    EXPECT_EQ(status_of(with("Transfer-Encoding: "s + value + "\r\n")), 400) << value;
}
TEST(Parser, two_transfer_encodings_are_refused) {
  EXPECT_EQ(status_of(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")), 400);
  EXPECT_EQ(status_of(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")), 400);
}
TEST(Parser, transfer_encoding_with_content_length_is_refused) {
  EXPECT_EQ(status_of(with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n")), 400);
  EXPECT_EQ(status_of(with("Content-Length: 5\r\ntransfer-encoding: chunked\r\n")), 400);
}
TEST(Parser, transfer_encoding_in_http_1_0_is_refused) {
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}
TEST(Parser, two_content_lengths_are_refused_even_when_equal) {
  EXPECT_EQ(status_of(with("Content-Length: 5\r\nContent-Length: 5\r\n")), 400);
  EXPECT_EQ(status_of(with("Content-Length: 5\r\nContent-Length: 6\r\n")), 400);
}
TEST(Parser, malformed_content_length_is_refused) {
  for (auto* value : {"+5", "-5", "0x5", "5, 5", "5 5", "", "5a", "1e1", "5.0"})
    EXPECT_EQ(status_of(with("Content-Length: "s + value + "\r\n")), 400) << value;
}
TEST(Parser, content_length_beyond_the_limit_is_refused) {
  EXPECT_EQ(status_of(with("Content-Length: 1001\r\n")), 413);
  EXPECT_EQ(status_of(with("Content-Length: 18446744073709551617\r\n")), 413);
  EXPECT_EQ(status_of(with("Content-Length: 1000\r\n")), 0);
}
TEST(Parser, no_host_is_refused) { EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400); }
TEST(Parser, two_hosts_are_refused) { EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400); }
TEST(Parser, malformed_host_is_refused) {
  for (auto* host : {"", "a b", "a/b", "a@b", "a:b", "a:99999", "a:", "[::1", "[]", "[::1]x", "a,b", "a\\b"})
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: "s + host + "\r\n\r\n"), 400) << host;
  for (auto* host : {"a", "a.b:1", "[::1]:8443", "127.0.0.1"})
    EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: "s + host + "\r\n\r\n"), 0) << host;
}
TEST(Parser, too_many_headers_are_refused) {
  std::string many;
  for (int i = 0; i < 30; ++i) many += "X: y\r\n";
  EXPECT_EQ(status_of(with(many)), 431);
}
TEST(Parser, a_head_that_is_too_large_is_refused_before_it_ends) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(5000, 'a')), 431);
  EXPECT_EQ(status_of(std::string(5000, 'A')), 431);
}
TEST(Parser, a_target_that_is_too_long_is_refused) {
  EXPECT_EQ(status_of("GET /" + std::string(2000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n"), 414);
}
TEST(Parser, malformed_request_lines_are_refused) {
  for (auto* line :
       {"GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET\t/\tHTTP/1.1", "GET / HTTP/1.1 x",
        "G@T / HTTP/1.1", "GET / http/1.1", "GET / HTTP/1,1", "/ HTTP/1.1", "GET / / HTTP/1.1"})
    EXPECT_NE(status_of(line + "\r\nHost: a\r\n\r\n"s), 0) << line;
}
TEST(Parser, leading_empty_line_is_refused) { EXPECT_EQ(status_of("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400); }
TEST(Parser, other_versions_are_refused) {
  for (auto* version : {"HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/11", "HTTP/1.10"})
    EXPECT_EQ(status_of("GET / "s + version + "\r\nHost: a\r\n\r\n"), 505) << version;
  EXPECT_EQ(status_of("PRI * HTTP/2.0\r\n\r\n"), 505);
}
TEST(Parser, connect_trace_and_asterisk_are_refused) {
  EXPECT_EQ(status_of("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), 501);
  EXPECT_EQ(status_of("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
  EXPECT_EQ(status_of("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}
TEST(Parser, path_tricks_are_refused) {
  for (auto* path : {"/../x", "/a/../b", "/a/..",     "/./a",  "//a",    "/a//b",    "//",    "/a//", "/%2e%2e/x", "/a/%2E%2e",
                     "/%2e",  "/a%00",   "/a%0d%0aX", "/a\\b", "/a%5cb", "/a%",   "/a%2",      "/a%zz",
                     "/a#b",  "/a\"b",   "/a<b",      "/a{b",  "/\x80",  "x",     "/a|b",      "/a%7f"})
    EXPECT_EQ(status_of("GET "s + path + " HTTP/1.1\r\nHost: a\r\n\r\n"), 400) << path;
  for (auto* path : {"/", "/a/", "/a/b%2Fc", "/...", "/a..b", "/%C3%A9"})
    EXPECT_EQ(status_of("GET "s + path + " HTTP/1.1\r\nHost: a\r\n\r\n"), 0) << path;
}
TEST(Parser, other_expectations_are_refused) { EXPECT_EQ(status_of(with("Expect: 200-maybe\r\n")), 417); }

TEST(Parser, every_prefix_of_a_good_head_waits_for_more) {
  auto text = with("X: y\r\n");
  for (std::size_t size = 0; size < text.size(); ++size) EXPECT_EQ(status_of(text.substr(0, size)), 1) << size;
  EXPECT_EQ(status_of(text), 0);
}

TEST(Parser, the_end_of_the_head_is_found_wherever_the_reads_were_cut) {
  auto text = with("X: y\r\n");
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    ASSERT_EQ(find_head_end(text.substr(0, cut), 0, kLimits).value(), 0u);
    EXPECT_EQ(find_head_end(text + "rest", cut, kLimits).value(), text.size());
  }
}

TEST(Parser, chunked_bodies_are_read_at_every_split) {
  const std::string wire = "4\r\nWiki\r\n005\r\npedia\r\nA\r\n0123456789\r\n0\r\n\r\n";
  for (std::size_t step = 1; step <= wire.size(); ++step) EXPECT_EQ(chunked(wire, step), "Wikipedia0123456789") << step;
}

TEST(Parser, bytes_after_a_body_are_left_alone) {
  BodyParser parser(head_of(with("Transfer-Encoding: chunked\r\n")), 100);
  std::string body;
  EXPECT_EQ(parser.consume("1\r\na\r\n0\r\n\r\nGET /", body).value(), 11u);
  BodyParser plain(head_of(with("Content-Length: 3\r\n")), 100);
  EXPECT_EQ(plain.consume("abcGET /", body).value(), 3u);
  EXPECT_EQ(body, "aabc");
  EXPECT_TRUE(plain.done());
}

TEST(Parser, malformed_chunks_are_refused) {
  for (auto* wire : {"g\r\n", "-1\r\na\r\n", "+1\r\na\r\n", "0x1\r\na\r\n", "1 \r\na\r\n", " 1\r\na\r\n", "1;x=y\r\na\r\n",
                     "1\na\r\n", "1\r\nab\r\n", "1\r\na\n", "1\r\naX\r\n0\r\n\r\n", "\r\n", "123456789\r\n",
                     "ffffffffffffffff0\r\n", "0\r\nX: y\r\n\r\n", "1\r\na\rb", "0\r\n\rX"})
    EXPECT_EQ(chunked(wire, 1), "refused 400") << wire;
}

TEST(Parser, chunks_that_add_up_to_too_much_are_refused) {
  EXPECT_EQ(chunked("3e9\r\n", 1), "refused 413");
  std::string wire;
  for (int i = 0; i < 1001; ++i) wire += "1\r\na\r\n";
  EXPECT_EQ(chunked(wire, 7), "refused 413");
}

}  // namespace
}  // namespace redoubt::http
